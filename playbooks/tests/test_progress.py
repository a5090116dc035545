"""The callback plugin prints a task's name when the task starts, and reports slow tasks, on a terminal or in a pipe."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from ansible_run import ROOT

INTERVAL = 1.5
SLOWLY = "Run the slow one"
SLOW = {"ansible.builtin.command": "sleep 6", "changed_when": False}
TASKS = [
    {"name": SLOWLY, **SLOW},
    {"name": "Leave this one out", **SLOW, "when": False},
    {"name": "Leave this one out late", **SLOW, "when": "lookup('ansible.builtin.pipe', 'sleep 3; echo no') == 'yes'"},
    {
        "name": "Try this one again",
        "ansible.builtin.shell": 'echo "$(ls "$FOLDER" | wc -l) of 3 parts"; mktemp "$FOLDER/XXXX" >&2',
        "register": "tried",
        "until": "'2 of 3' in tried.stdout",
        "retries": 5,
        "delay": 1,
        "changed_when": False,
    },
]

# Lines of output, each with the time in seconds since the start.
Lines = list[tuple[float, str]]


def run(folder: Path, terminal: bool) -> Lines:
    """Run TASKS with this repository's ansible.cfg, on a terminal or with a pipe; return the timed output."""
    (folder / "parts").mkdir()
    playbook = folder / "play.json"
    playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": TASKS}]))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local"]
    command += ["-e", f"ansible_python_interpreter={sys.executable}", str(playbook)]
    own = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    settings = {"TRACKBOX_PROGRESS_INTERVAL": str(INTERVAL), "ANSIBLE_NOCOLOR": "1", "FOLDER": str(folder / "parts")}
    reader, writer = pty.openpty() if terminal else os.pipe()
    start, text, times = time.monotonic(), b"", []
    with subprocess.Popen(command, cwd=ROOT, env=own | settings, stdout=writer, stderr=writer) as process:
        os.close(writer)
        while True:
            try:
                got = os.read(reader, 4096)
            except OSError:  # The process has closed the terminal.
                break
            if not got:
                break
            times += [time.monotonic() - start] * got.count(b"\n")
            text += got
    os.close(reader)
    assert process.returncode == 0, text.decode()
    return list(zip(times, text.decode().splitlines(), strict=True))


@pytest.fixture(scope="module", params=[True, False], ids=["terminal", "pipe"])
def lines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lines:
    return run(tmp_path_factory.mktemp("progress"), request.param)


def when(lines: Lines, text: str) -> float:
    """Return the time, in seconds, of the first line that begins with this text; fail if there is none."""
    [found, *_] = [second for second, line in lines if line.startswith(text)]
    return found


def test_a_task_name_appears_long_before_its_result(lines: Lines) -> None:
    assert when(lines, "ok: [localhost]") - when(lines, f"TASK [{SLOWLY}]") > 4


def test_a_slow_task_is_reported_at_the_set_interval(lines: Lines) -> None:
    reports = [second for second, line in lines if line.startswith("… still running after ") and SLOWLY in line]
    assert len(reports) >= 2
    seconds = [when(lines, f"TASK [{SLOWLY}]"), *reports, when(lines, "ok: [localhost]")]
    assert max(late - early for early, late in pairwise(seconds)) < INTERVAL + 1


def test_a_skipped_task_leaves_no_line(lines: Lines) -> None:
    assert not [line for _, line in lines if "Leave this one out]" in line]


def test_a_task_skipped_after_its_name_appeared_is_reported(lines: Lines) -> None:
    assert when(lines, "TASK [Leave this one out late]") < when(lines, "skipping: [localhost]")
    assert len([line for _, line in lines if "skipping" in line]) == 1


def test_a_retried_task_shows_its_progress(lines: Lines) -> None:
    said = [line for _, line in lines if line.startswith("waiting: [localhost]: ")]
    assert [line.split(": ")[2] for line in said] == ["0 of 3 parts", "1 of 3 parts"]
    # Compare the order of the two lines, not their times, because on a busy machine the test may read both at once.
    shown = "\n".join(line for _, line in lines)
    assert shown.index("TASK [Try this one again]") < shown.index("waiting: [localhost]: 0 of 3")


def test_a_task_name_appears_once(lines: Lines) -> None:
    assert len([line for _, line in lines if line.startswith("TASK [")]) == 3
