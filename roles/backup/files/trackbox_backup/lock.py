"""The lock that one of site, backup, restore, upgrade, rotation, garbage collection and removal holds at a time."""

from __future__ import annotations

import fcntl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from trackbox_backup import state
from trackbox_backup.refused import Refused
from trackbox_backup.settings import LOCK


def holder() -> str:
    """Return who holds the lock, and since when, as systemd knows it."""
    command = ["systemctl", "show", "trackbox-lock", "--property=ActiveState,Description,InactiveExitTimestamp"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    unit = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    if unit.get("ActiveState") != "active":
        return "another program holds it (fuser -v /run/trackbox.lock names it)."
    return (
        f"{unit['Description']} has held it since {unit['InactiveExitTimestamp']}. If that playbook has ended, type on "
        "this machine: systemctl stop trackbox-lock."
    )


@contextmanager
def held(seconds: float) -> Iterator[None]:
    """Hold the lock; wait for it for so long, and tell monitoring if that was in vain."""
    end = time.monotonic() + seconds
    with LOCK.open() as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    refused = f"Nothing was backed up, for the lock of this machine was not free: {holder()}"
                    state.note(error=refused)
                    raise Refused(refused) from None
                time.sleep(min(1, seconds))
        yield
