"""The package trackbox_host (the machine's lock, the jobs' status files), and the installer of Trackbox's packages."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import time
from pathlib import Path

import programs
import pytest
from trackbox_host import lock
from trackbox_host.status import Status, replace, timestamp

INSTALLER = Path(__file__).parents[2] / "roles/machine/files/program.py"
METRICS = {"bytes": ("bytes", "What it holds.")}


def test_the_lock_is_held_by_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "LOCK", tmp_path / "lock")
    (tmp_path / "lock").touch()
    with lock.held():
        start = time.monotonic()
        with pytest.raises(lock.Busy), lock.held(0.3):
            pass
        assert 0.3 <= time.monotonic() - start < 5
    with lock.held(), (tmp_path / "lock").open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_file_is_replaced_whole_and_readable_by_all(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with (tmp_path / "a").open() as reader:
        replace(tmp_path / "a", "new")
        assert reader.read() == "old"
    assert ((tmp_path / "a").read_text(), (tmp_path / "a").stat().st_mode & 0o777) == ("new", 0o644)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failure_keeps_the_last_success(tmp_path: Path) -> None:
    status = Status(tmp_path, "job", METRICS)
    status.record("it broke")
    first = json.loads((tmp_path / "last.json").read_text())
    assert (first["last_success"], first["last_success_unix"], first["bytes"]) == (None, 0, 0)
    status.record("", bytes=7, run="r")
    good = json.loads((tmp_path / "last.json").read_text())
    assert good["last_success"] == good["last_try"] == timestamp(good["last_success_unix"])
    status.record("it broke")
    last = json.loads((tmp_path / "last.json").read_text())
    assert last | {"error": "", "last_try": good["last_try"]} == good
    assert last["error"] == "it broke"
    told = (tmp_path / "trackbox_job.prom").read_text()
    assert "# TYPE trackbox_job_bytes gauge\ntrackbox_job_bytes 7\n" in told
    assert "# HELP trackbox_job_failed Whether the last try failed.\n" in told
    assert "\ntrackbox_job_failed 1\n" in told
    assert f"\ntrackbox_job_last_success_timestamp_seconds {good['last_success_unix']}\n" in told


def test_packages_are_installed_whole_with_bytecode_and_nothing_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "ROLES", tmp_path)
    source, base = tmp_path / "hello/files/pack", tmp_path / "machine/files/trackbox_host"
    base.mkdir(parents=True)
    (source / "sub").mkdir(parents=True)
    (source / "__init__.py").write_text("X = 1\n")
    (source / "sub/__init__.py").write_text("")
    (source / "sub/other.txt").write_text("no module")
    found = programs.python_modules("pack", "hello")
    assert found == {"pack/__init__.py": "X = 1\n", "pack/sub/__init__.py": ""}
    before = programs.program_id("pack", "hello")
    (base / "shared.py").touch()
    assert programs.program_id("pack", "hello") != before
    target = tmp_path / "target"
    (target / "old").mkdir(parents=True)
    command = [sys.executable, str(INSTALLER), str(target), "mark"]
    subprocess.run(command, input=json.dumps(found), text=True, check=True, umask=0o077)
    there = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert {name for name in there if "__pycache__" not in name} == {"mark", "pack/__init__.py", "pack/sub/__init__.py"}
    assert sum("__pycache__" in name for name in there) == 2
    assert (target / "mark").stat().st_mode & 0o777 == 0o644
    assert not target.with_name("target.new").exists()
