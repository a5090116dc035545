"""A signal ends the command, even if Python drops the exception that the handler raises."""

import contextlib
import signal
import time
from typing import Any

import pytest

from fraud import signals
from fraud.errors import Terminated
from fraud.models.recipes import PROFILES
from fraud.train import in_parallel
from fraud.types import Recipe


def slow(_: Recipe) -> Any:
    time.sleep(6)


def test_a_signal_whose_exception_python_drops_still_ends_the_command() -> None:
    before = signal.signal(signal.SIGTERM, signals.raise_error)
    try:
        with contextlib.suppress(KeyboardInterrupt):  # imitates how Python drops the exception
            signal.raise_signal(signal.SIGTERM)
        start = time.monotonic()
        with pytest.raises(Terminated):
            in_parallel(slow, PROFILES["default"][:1], 1)
        assert time.monotonic() - start < 4
    finally:
        signal.signal(signal.SIGTERM, before)
