"""Measure the PSS of the services. PSS divides a memory page that n processes share by n."""

from __future__ import annotations

import shlex
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from harness import ROOT, Bench

UNITS = ("mysql", "mariadb", "minio", "minio-watermark", "mlflow", "mlflow-away", "nginx")
# For each unit, prints its name, its number of processes and their PSS in kB. Processes that just ended are left out.
ASK = """for unit in UNITS; do
  group=$(systemctl show --property=ControlGroup --value $unit); [ "$group" ] || continue
  for folder in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
    [ -e "$folder$group/cgroup.procs" ] && break
  done
  cat $(sed 's|.*|/proc/&/smaps_rollup|' "$folder$group/cgroup.procs") 2>/dev/null |
    awk -v unit=$unit '/^Pss:/ {s += $2; n++} END {print unit, n + 0, s + 0}'
done
"""
# Runs ASK about three times per second, until standard input is closed.
WATCH = f"while read -r -t 0.3 _; [ $? -gt 128 ]; do\n{ASK}done\n".replace("UNITS", " ".join(UNITS))
# Names of units in plots. All other units are small and share one line.
DRAWN = {"mysql": "database", "mariadb": "database", "minio": "MinIO", "mlflow": "MLflow"}


def refresh(bench: Bench) -> None:
    """Restart the services so that they release memory; MySQL does not reload its buffer pool from disk."""
    database = bench.database
    bench.ssh(f"systemctl stop {database} && rm -f /var/lib/mysql/ib_buffer_pool && systemctl start {database}")
    bench.ssh("systemctl restart mlflow minio nginx")
    bench.machine.wait_for_health(200, 60)


def look(bench: Bench, units: Sequence[str] = UNITS) -> list[tuple[str, int, float]]:
    """Return the name, the number of processes and their PSS in MB for each unit."""
    rows = [line.split() for line in bench.ssh(ASK.replace("UNITS", " ".join(units))).splitlines()]
    return [(unit, int(count), int(kilobytes) / 1024) for unit, count, kilobytes in rows]


@contextmanager
def most(bench: Bench) -> Iterator[dict[str, float]]:
    """Sample the PSS about three times per second. After the block, the dictionary contains each unit's peak in MB."""
    found: dict[str, float] = {}
    watching = f"bash -c {shlex.quote(WATCH)}"
    command = ["ssh", "-F", str(ROOT / ".trackbox/ssh_config"), bench.machine.name, watching]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watch:
        try:
            yield found
        finally:
            said, _ = watch.communicate(timeout=60)
    for line in said.splitlines():
        unit, _, kilobytes = line.split()
        found[unit] = max(found.get(unit, 0), int(kilobytes) / 1024)


def growth(bench: Bench, work: dict[float, Callable[[], object]]) -> dict[str, list[tuple[float, float]]]:
    """Call the functions in order of their keys; return points (key, peak PSS in MB) for each service.

    A key is the size of the function's work, such as a number of clients.

    The services are restarted only before the first call, so memory that a service keeps after a call also counts in
    the next call.
    """
    refresh(bench)
    lines = defaultdict[str, list[tuple[float, float]]](list)
    for size, call in sorted(work.items()):
        with most(bench) as found:
            call()
        drawn = defaultdict[str, float](float)
        for unit, megabytes in found.items():
            drawn[DRAWN.get(unit, "the others")] += megabytes
        for name, megabytes in drawn.items():
            lines[name].append((size, megabytes))
    return dict(lines)
