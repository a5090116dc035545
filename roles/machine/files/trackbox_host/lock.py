"""The machine's lock, which only one job at a time can hold.

The jobs are site.yml, backup, restore test, restore, upgrade, rotation, garbage collection and removal.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = Path("/run/trackbox.lock")


class Busy(Exception):  # noqa: N818 - it is a state, not a fault
    """Another program holds the lock."""


@contextmanager
def held(seconds: float = 0) -> Iterator[None]:
    """Hold the lock. Raises Busy if another program still holds it after `seconds`."""
    end = time.monotonic() + seconds
    with LOCK.open() as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise Busy from None
                time.sleep(min(1, seconds))
        yield
