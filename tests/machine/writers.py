"""MLflow clients that write without a pause, and a check that acknowledged writes are stored."""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machine import ROOT, Machine

COMMAND = [str(ROOT / "training/.venv/bin/python"), str(ROOT / "tests/machine/client_steady.py")]


def settings(machine: Machine) -> dict[str, str]:
    """Return the environment variables of a client."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **machine.settings}


@contextmanager
def writing(machine: Machine, told: Path, seconds: int, writers: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run clients that write for `seconds`; they append a line to the file `told` for each acknowledged write."""
    command = [*COMMAND, "write", str(seconds), str(writers)]
    with told.open("w") as out, subprocess.Popen(command, env=settings(machine), stdout=out) as process:
        try:
            yield process
        finally:
            process.kill()


def acknowledged(told: Path, until: float = math.inf) -> list[dict[str, Any]]:
    """Return the writes acknowledged before `until` (seconds since 1970), without an incomplete last line."""
    lines = [json.loads(line) for line in told.read_text().splitlines() if line.endswith("}")]
    return [line for line in lines if "error" not in line and line["at"] < until]


def check_stored(machine: Machine, told: Path, until: float = math.inf) -> dict[str, Any]:
    """Count the writes acknowledged before `until` that are stored unchanged, and list the others."""
    lines = "\n".join(map(json.dumps, acknowledged(told, until)))
    done = subprocess.run(
        [*COMMAND, "check"],
        env=settings(machine),
        input=lines,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
