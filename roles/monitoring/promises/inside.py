"""Promises (checks of verify.yml) about monitoring, on the machine."""

from __future__ import annotations

import calendar
import json
import os
import stat
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from promises import Facts, promise
from tools import loosely_confined, output, too_exposed

# The maximum age of the status in seconds. It is written every 5 s.
OLD = 60
# The maximum age in seconds of the charts of the last hour, which are written each minute.
CHARTS_OLD = 300
# The time limit in seconds for the first charts after a start, because Prometheus reads its history first.
CHARTS_START = 30


@promise("monitoring")
def monitoring_programs_confined(its: Facts) -> Iterator[str]:
    """Monitoring runs each program as its own user, without capabilities, with filtered system calls."""
    for unit, (user, _) in its["others"].items():
        yield from too_exposed(unit, its["exposure"])
        yield from (f"{unit} {problem}" for _, problem in loosely_confined(unit, user))


@promise("monitoring")
def monitoring_metrics_inside(its: Facts) -> Iterator[str]:
    """Monitoring's exporters listen on loopback only, each as its own user."""
    for unit, (user, wanted) in its["others"].items():
        uid = output("id", "--user", user).strip()
        lines = output("ss", "-Hlntpe").splitlines()
        held = [line.split()[3] for line in lines if f" uid:{uid} " in f"{line} "]
        yield from (f"{unit} listens on {address}" for address in held if address != wanted)
        if wanted and wanted not in held:
            yield f"{unit} does not listen on {wanted}"


@promise("monitoring")
def monitoring_reads_every_source(its: Facts) -> Iterator[str]:
    """Monitoring reads the metrics of every source: all targets of Prometheus are up."""
    [address] = its["addresses"]
    with urllib.request.urlopen(f"http://{address}/api/v1/targets?state=active", timeout=10) as answer:
        targets = json.load(answer)["data"]["activeTargets"]
    if not targets:
        yield "Prometheus has no source"
    yield from (f"{each['scrapeUrl']}: {each['lastError']}" for each in targets if each["health"] == "down")


@promise("monitoring")
def monitoring_status_current(its: Facts) -> Iterator[str]:
    """Monitoring has updated the status within the last minute."""
    path = Path(its["status"])
    if not path.exists():
        yield f"{path} does not exist, because trackbox-monitoring does not run"
        return
    known = json.loads(path.read_text())
    age = time.time() - calendar.timegm(time.strptime(known["time"], "%Y-%m-%dT%H:%M:%SZ"))
    if age > OLD:
        yield f"the status is {age:.0f} s old"


@promise("monitoring")
def monitoring_charts_current(its: Facts) -> Iterator[str]:
    """Monitoring has written the charts of the last hour within the last five minutes."""
    path = Path(its["charts"])
    deadline = time.monotonic() + CHARTS_START
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(1)
    if not path.exists():
        yield f"{path} does not exist"
    elif (age := time.time() - path.stat().st_mtime) > CHARTS_OLD:
        yield f"the charts are {age:.0f} s old"


@promise("monitoring")
def monitoring_history_private(its: Facts) -> Iterator[str]:
    """Monitoring's history is readable by Prometheus' user only."""
    found = os.stat(its["history"])
    if found.st_mode & 0o077 or str(found.st_uid) != output("id", "--user", its["user"]).strip():
        yield f"{its['history']} has owner {found.st_uid}, mode {stat.S_IMODE(found.st_mode):04o}"
