"""Helpers of the promises that are checked on the machine: commands, units, processes and files."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path


def output(*command: str, codes: Iterable[int] = (0,)) -> str:
    """Return a command's output. codes: the exit codes of success; others raise RuntimeError."""
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, errors="replace", timeout=30, stdin=subprocess.DEVNULL
    )
    if done.returncode not in codes:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {' '.join(said)[:200]}")
    return done.stdout


def show(unit: str, *properties: str) -> dict[str, str]:
    """Return a unit's current properties. The values of a property that occurs several times are joined as lines."""
    found: dict[str, str] = {}
    for line in output("systemctl", "show", unit, f"--property={','.join(properties)}").splitlines():
        name, _, value = line.partition("=")
        found[name] = f"{found[name]}\n{value}" if name in found else value
    return found


def too_exposed(unit: str, most: float) -> Iterator[str]:
    """Yield a finding if systemd-analyze rates the exposure of a unit above `most`, or does not rate it."""
    said = output("systemd-analyze", "security", "--no-pager", unit)
    rated = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    if not rated or float(rated[1]) > float(most):
        yield f"{unit} is rated {rated[1] if rated else 'nothing'}, above {most}"


def status(process: int) -> dict[str, str]:
    """Return the fields of /proc/PID/status."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def processes() -> Iterator[int]:
    """Yield the PID of every process."""
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def family(unit: str) -> list[int]:
    """Return the PIDs of a service: its main process and all descendants."""
    main = int(show(unit, "MainPID")["MainPID"])
    parents = {}
    for process in processes():
        try:
            parents[process] = int(status(process)["PPid"])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found = [main] if main else []
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def loosely_confined(unit: str, user: str) -> Iterator[tuple[int, str]]:
    """Yield PID and finding for each process of a service that has too many rights, or runs as another user."""
    wanted = {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0" * 16, "CapBnd": "0" * 16}
    uid = output("id", "--user", user).strip()
    for process in family(unit):
        found = status(process)
        yield from ((process, f"has {key} {found[key]}") for key, value in wanted.items() if found[key] != value)
        if set(found["Uid"].split()) != {uid}:
            yield process, f"runs as {found['Uid'].split()[0]}"


def sha256(path: str | Path) -> str:
    """Return a file's SHA-256."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def walk(*roots: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield each root and every path under it, with its lstat result. Symbolic links are not followed."""
    for root in roots:
        if os.path.lexists(root):
            yield root, os.lstat(root)
        for folder, folders, files in os.walk(root):
            for name in folders + files:
                path = f"{folder}/{name}"
                try:
                    yield path, os.lstat(path)
                except FileNotFoundError:
                    continue
