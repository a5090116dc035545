"""What the promises inside the machine look at it with."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path


def output(*command: str, codes: Iterable[int] = (0,)) -> str:
    """Return what a command prints; codes: the exit codes that are no failure."""
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, errors="replace", timeout=30, stdin=subprocess.DEVNULL
    )
    if done.returncode not in codes:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {' '.join(said)[:200]}")
    return done.stdout


def show(unit: str, *properties: str) -> dict[str, str]:
    """Return properties of a unit, as systemd has them now; a property that it has several times, in lines."""
    found: dict[str, str] = {}
    for line in output("systemctl", "show", unit, f"--property={','.join(properties)}").splitlines():
        name, _, value = line.partition("=")
        found[name] = f"{found[name]}\n{value}" if name in found else value
    return found


def too_exposed(unit: str, most: float) -> Iterator[str]:
    """Yield a sentence if systemd-analyze rates the exposure of a unit above `most`, or does not rate it."""
    said = output("systemd-analyze", "security", "--no-pager", unit)
    rated = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    if not rated or float(rated[1]) > float(most):
        yield f"{unit} is rated {rated[1] if rated else 'nothing'}, above {most}"


def status(process: int) -> dict[str, str]:
    """Return what the kernel says of a process: the fields of /proc/PID/status."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def processes() -> Iterator[int]:
    """Yield the number of every process."""
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def family(unit: str) -> list[int]:
    """Return the processes of a service: its main one and all that descend from it."""
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


def sha256(path: str | Path) -> str:
    """Return a file's SHA-256."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def walk(*roots: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what lies in and under the folders, with what lstat says of it; links are not followed."""
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
