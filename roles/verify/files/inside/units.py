"""Promises about the services' units: they run, are confined, and are as Trackbox wrote them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from promises import Facts, promise_of_each
from tools import family, loosely_confined, output, sha256, show, too_exposed


@promise_of_each("exposure")
def runs(its: Facts) -> Iterator[str]:
    """{} runs, together with its sockets and timers, and starts at boot."""
    for unit in (its["unit"], *its.get("helpers", [])):
        found = show(unit, "ActiveState", "UnitFileState")
        if found["ActiveState"] != "active":
            yield f"{unit} is {found['ActiveState']}"
        if found["UnitFileState"] != "enabled":
            yield f"{unit} is {found['UnitFileState'] or 'not installed'}"


@promise_of_each("exposure")
def hardened(its: Facts) -> Iterator[str]:
    """{} has at most the allowed exposure in systemd-analyze security."""
    yield from too_exposed(its["unit"], its["exposure"])


@promise_of_each("exposure")
def unit_unchanged(its: Facts) -> Iterator[str]:
    """{} has the unit that the settings describe, and no other drop-in changes it."""
    found = show(its["unit"], "FragmentPath", "DropInPaths", "NeedDaemonReload")
    fragment = found["FragmentPath"]
    ours = [path for path in its["as_written"] if path.startswith(f"/etc/systemd/system/{its['unit']}.service")]
    if fragment not in ours and not fragment.startswith(("/lib/", "/usr/lib/")):
        yield f"its unit is {fragment}"
    # Allow the distribution's drop-ins in /usr/lib. Report those in /run, from `systemctl set-property --runtime`.
    for path in found["DropInPaths"].split():
        if path not in ours and not path.startswith(("/lib/", "/usr/lib/")):
            yield f"{path} changes it"
    loaded = [fragment, *found["DropInPaths"].split()]
    yield from (f"{path} is not loaded" for path in ours if path not in loaded)
    if found["NeedDaemonReload"] != "no":
        yield "systemd has not read its files again: systemctl daemon-reload"


@promise_of_each("as_written")
def files_as_written(its: Facts) -> Iterator[str]:
    """{} has files that match the settings."""
    for path, wanted in its["as_written"].items():
        if not Path(path).is_file():
            yield f"{path} is missing"
        elif sha256(path) != wanted:
            yield f"{path} is another"


@promise_of_each("confined")
def confined(its: Facts) -> Iterator[str]:
    """{} runs as its own user, without capabilities, with a system call filter."""
    yield from (f"process {process} {problem}" for process, problem in loosely_confined(its["unit"], its["user"]))


@promise_of_each("exposure")
def binary_current(its: Facts) -> Iterator[str]:
    """{} runs the installed program and libraries, none of which was replaced since its start."""
    for process in family(its["unit"]):
        maps = Path(f"/proc/{process}/maps").read_text()
        # Look for deleted programs and libraries only, because shared memory and temporary files are deleted by design.
        gone = sorted(set(re.findall(r" (/(?:usr|opt|lib)\S*) \(deleted\)", maps)))
        if gone:
            yield f"process {process} runs the old {gone[0]}: systemctl restart {its['unit']}"


@promise_of_each("packaged")
def package_intact(its: Facts) -> Iterator[str]:
    """{} runs a program that is identical to its package's."""
    [main, *_] = family(its["unit"])
    # Check the program's file on the disk, even if the process still runs an older one that an upgrade has replaced.
    path = str(Path(f"/proc/{main}/exe").readlink()).removesuffix(" (deleted)")
    package = output("dpkg-query", "--search", path).partition(":")[0]
    # Skip lines with a `c`. They are configuration files, which may differ from the package's.
    for line in output("dpkg", "--verify", package, codes=(0, 1)).splitlines():
        if " c " not in line:
            yield f"{package}: {line.split()[-1]} is another"


@promise_of_each("exposure")
def user_cannot_log_in(its: Facts) -> Iterator[str]:
    """{} has a system user who cannot log in."""
    for name in its.get("users_of_the_system", [its["user"]]):
        shell = output("getent", "passwd", name).strip().rpartition(":")[2]
        if shell.rpartition("/")[2] not in ("nologin", "false"):
            yield f"{name} has the shell {shell}"
        password = output("getent", "shadow", name).split(":")[1]
        if not password.startswith(("!", "*")):
            yield f"{name} has a password"
