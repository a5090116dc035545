"""Promises of serving that are checked on the machine."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from promises import Facts, Off, promise
from tools import family, output, status, too_exposed


def models(its: Facts) -> dict[str, dict[str, Any]]:
    """Return the follower's status of each model."""
    found: dict[str, dict[str, Any]] = json.loads(Path(its["state"], "status.json").read_text())["models"]
    return found


def units() -> list[str]:
    """Return the names of the running units of versions."""
    lines = output("systemctl", "list-units", "--plain", "--no-legend", "--full", "trackbox-serving@*.service")
    return [line.split()[0] for line in lines.splitlines() if line.strip()]


def served(its: Facts) -> list[str]:
    """Return the names of the running units of versions. Raise Off if there are none."""
    if not (found := units()):
        raise Off("no model has a version that is served")
    return found


@promise("serving")
def serving_follows_aliases(its: Facts) -> Iterator[str]:
    """Serving serves the version that each alias names, or says why it refused it."""
    if not any(model["wanted"] for model in models(its).values()):
        raise Off("no alias of serving_models names a version")
    # An alias may have moved just now, so wait until its version is live or refused.
    for left in range(int(its["poll_seconds"]) * 5 + 30, -1, -1):
        found = models(its)
        problems = [
            f"{name}: {model['problem'] or model['candidate'] or 'version ' + model['wanted'] + ' is not served'}"
            for name, model in found.items()
            if model["wanted"]
            and (model["live"] or {}).get("version") != model["wanted"]
            and (model["refused"] or {}).get("version") != model["wanted"]
        ]
        if not problems or not left or not any(model["candidate"] for model in found.values()):
            break
        time.sleep(1)
    yield from problems


@promise("serving")
def serving_links_lead_to_live_versions(its: Facts) -> Iterator[str]:
    """Serving leads NGINX to the versions that its status names, and to no other."""
    for name, model in models(its).items():
        folder = Path(its["run"], quote(name, safe=""))
        for link, key in (("champion.sock", "live"), ("previous.sock", "previous")):
            wanted = f"{model[key]['version']}.sock" if model[key] else None
            path = folder / link
            found = str(path.readlink()) if path.is_symlink() else None
            if found != wanted:
                yield f"{path} leads to {found or 'nothing'}, not to {wanted or 'nothing'}"
        reachable = {f"{model[key]['version']}.sock" for key in ("live", "previous") if model[key]}
        others = {path.name for path in (folder / "by-number").glob("*")} - reachable
        yield from (f"{folder}/by-number/{name} leads to a version that is not served" for name in sorted(others))


@promise("serving")
def serving_versions_confined(its: Facts) -> Iterator[str]:
    """Serving runs each version as a user of its own, without capabilities, behind a filter of system calls."""
    wanted = {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0" * 16, "CapBnd": "0" * 16}
    users = {output("id", "--user", its["user"]).strip(): its["unit"]}
    for unit in served(its):
        for process in family(unit):
            found = status(process)
            yield from (f"{unit}: process {process} has {k} {found[k]}" for k, v in wanted.items() if found[k] != v)
            user = found["Uid"].split()[0]
            if user == "0" or users.setdefault(user, unit) != unit:
                yield f"{unit}: process {process} runs as {user}, as {users.get(user, 'root')} does"


@promise("serving")
def serving_versions_hardened(its: Facts) -> Iterator[str]:
    """Serving's versions stay within what systemd-analyze security may rate their units."""
    for unit in served(its):
        yield from too_exposed(unit, its["version_exposure"])


@promise("serving")
def serving_versions_without_network(its: Facts) -> Iterator[str]:
    """Serving's versions have no network but loopback's own, and see no secret and no other version's files."""
    for unit in served(its):
        # Skip a unit that has just ended, because it has no process.
        process = next(iter(family(unit)), None)
        if process is None:
            continue
        interfaces = Path(f"/proc/{process}/net/dev").read_text().splitlines()[2:]
        others = sorted({line.partition(":")[0].strip() for line in interfaces} - {"lo"})
        if others:
            yield f"{unit} has the network {', '.join(others)}"
        root = Path(f"/proc/{process}/root")
        seen = list(root.joinpath(its["state"].lstrip("/")).glob("*/*/*"))
        if len([path for path in seen if path.parts[-3] == "models"]) != 1:
            yield f"{unit} sees {len(seen)} folders in {its['state']}"
        yield from (
            f"{unit} sees {path}"
            for path in ("/run/mysqld", "/run/dbus", "/run/credentials", "/run/trackbox-serving")
            if (root / path.lstrip("/")).exists()
        )


@promise("serving")
def serving_environments_kept(its: Facts) -> Iterator[str]:
    """Serving's versions have the packages that they need, and only the unit that installs them can change them."""
    yield from too_exposed("trackbox-serving-environments.service", its["exposure"])
    root = Path(its["environments_of_versions"])
    owner = int(output("id", "--user", its["environments_user"]))
    for folder, folders, files in os.walk(root):
        for name in (".", *folders, *files):
            found = Path(folder, name).lstat()
            if found.st_uid != owner or (found.st_mode & 0o022 and not stat.S_ISLNK(found.st_mode)):
                yield f"{folder}/{name} has owner {found.st_uid}, mode {stat.S_IMODE(found.st_mode):04o}"
    for unit in units():
        process = next(iter(family(unit)), None)
        program = Path(f"/proc/{process}/cmdline").read_text().split("\0")[0] if process else ""
        if program.startswith(f"{root}/") and not Path(program).exists():
            yield f"{unit} runs with {program}, which is not there"


@promise("serving")
def serving_log_delivered(its: Facts) -> Iterator[str]:
    """Serving delivers its log of requests, and has dropped none of it."""
    log = json.loads(Path(its["state"], "status.json").read_text())["log"]
    if log["problem"]:
        yield str(log["problem"])
    oldest = min((path.stat().st_mtime for path in Path(its["state"]).glob("log/*/*/*.parquet")), default=None)
    if oldest is not None and time.time() - oldest > 300:
        since = datetime.fromtimestamp(oldest, UTC).isoformat(timespec="seconds")
        yield f"a log waits since {since}"
