"""Handle Ctrl-C and SIGTERM. The first signal ends the open runs, a second ends the process."""

from __future__ import annotations

import os
import signal

from fraud.errors import Terminated

ERRORS: dict[int, type[KeyboardInterrupt]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
}


def install() -> None:
    """Install the handlers, except for an ignored signal, such as SIGINT in a background job."""
    for number in ERRORS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, raise_error)


def raise_error(number: int, _: object) -> None:
    """Handle the first signal: raise its error in the main thread."""
    signal.signal(number, exit_now)
    raise ERRORS[number]


def exit_now(number: int, _: object) -> None:
    """Handle the second signal: end the process without clean-up."""
    os._exit(128 + number)


def raise_pending() -> None:
    """Raise the error of an earlier signal once more.

    Python drops an exception that a handler raises during a `__del__` or the callback of a weak
    reference, so the command would continue. Long waits therefore call this function every second.
    If the handler of a signal is `exit_now`, `raise_error` has set it, so the signal has arrived.
    """
    for number, error in ERRORS.items():
        if signal.getsignal(number) is exit_now:
            raise error
