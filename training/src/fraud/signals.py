"""Ctrl-C and SIGTERM: the first lets the open runs be closed, the second ends the process."""

from __future__ import annotations

import os
import signal

from fraud.errors import Terminated

ERRORS: dict[int, type[KeyboardInterrupt]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
}


def install() -> None:
    """Handle the signals; one that the caller ignores, as `nohup` does, stays ignored."""
    for number in ERRORS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, first)


def first(number: int, _: object) -> None:
    """Raise the signal's error in the main thread."""
    signal.signal(number, second)
    raise ERRORS[number]


def second(number: int, _: object) -> None:
    """End the process, whatever it does."""
    os._exit(128 + number)


def raise_lost() -> None:
    """Raise the error of a signal again whose handler has run.

    Python drops what a handler raises while a weak reference's callback or a `__del__` runs, and
    the command would go on. Whoever waits for long calls this now and then: the table of handlers
    remembers.
    """
    for number, error in ERRORS.items():
        if signal.getsignal(number) is second:
            raise error
