"""Waits for the machine's lock. If the lock does not become free, the job's status names the lock's holder."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from trackbox_host.lock import Busy, held

from trackbox_backup.refused import Inconclusive


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
def locked(seconds: float, record: Callable[[str], None], undone: str) -> Iterator[None]:
    """Take the lock, and wait for it up to `seconds`. Raises Inconclusive if another program still holds it then.

    record: records the refusal. undone: the begin of its message, such as "Nothing was backed up".
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(held(seconds))
        except Busy:
            refused = f"{undone}, for the lock of this machine was not free: {holder()}"
            record(refused)
            raise Inconclusive(refused) from None
        yield
