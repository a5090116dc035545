"""The output on a terminal: `fraud` runs on a pty."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from fraud.screen import Screen
from fraud.settings import Settings
from fraud.types import Cost


def on_terminal(arguments: list[str], columns: int) -> tuple[int, str]:
    """Run `fraud` on a terminal `columns` wide; return its exit code and its output."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    command = [sys.executable, "-m", "fraud", *arguments]
    env = os.environ | {"TERM": "xterm-256color"}
    with subprocess.Popen(command, stdout=slave, stderr=slave, env=env) as process:
        os.close(slave)
        written = b""
        while True:
            try:
                block = os.read(master, 65536)
            except OSError:
                break
            if not block:
                break
            written += block
    os.close(master)
    return process.returncode, written.decode()


def test_on_a_terminal_there_are_bars_and_then_a_table(settings: Settings, small_csv: Path) -> None:
    code, shown = on_terminal(
        ["train", "--data", str(small_csv), "--models", "dummy,logistic"], 100
    )
    assert code == 0
    for state in ("waiting", "fitting", "storing"):
        assert state in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    last = plain[plain.rindex("valid.") - 30 :].splitlines()
    assert max(len(line) for line in last[:-1]) <= 80
    assert "…" not in plain
    assert " logistic  " in plain
    assert last[-1].startswith(f"{settings.tracking_uri}/#/experiments/")


def test_quiet_prints_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(quiet=True).note("anything")
    assert capsys.readouterr().err == ""


def test_counting_prints_nothing_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen().counting("rows") as count:
        count(10)
    assert capsys.readouterr() == ("", "")


def test_the_default_costs_are_those_of_the_help() -> None:
    assert (Cost().fn, Cost().fp) == (120.0, 5.0)
