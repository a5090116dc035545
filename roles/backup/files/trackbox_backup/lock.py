"""Waits for the machine's lock. If the lock does not become free, the backup's status names the lock's holder."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from trackbox_host.lock import Busy, held

from trackbox_backup.backup import STATUS
from trackbox_backup.refused import Refused


def holder() -> str:
    """Return a message with the lock's holder and the time when it took the lock, as systemd reports them."""
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
def locked(seconds: float) -> Iterator[None]:
    """Take the lock, and wait for it up to `seconds`. Raises Refused if another program still holds it then."""
    with ExitStack() as stack:
        try:
            stack.enter_context(held(seconds))
        except Busy:
            refused = f"Nothing was backed up, for the lock of this machine was not free: {holder()}"
            STATUS.record(refused)
            raise Refused(refused) from None
        yield
