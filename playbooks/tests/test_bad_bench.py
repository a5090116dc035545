"""`make bench` refuses bad input with one error message."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def refused(*arguments: str | Path, path: Path | None = None) -> str:
    """Check that `bench` refuses these arguments; return its message. path: a folder to put first in PATH."""
    before = (ROOT / "bench/RESULTS.md").read_text()
    told = subprocess.run(
        [sys.executable, "bench", *arguments],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 2, told.stderr
    assert told.stderr.count("\n") == 1
    assert (ROOT / "bench/RESULTS.md").read_text() == before
    return told.stderr


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return the folder of an inventory. Its fake `bin/ssh` runs the shell script `answer` instead of connecting."""
    (tmp_path / ".secrets").mkdir()
    (tmp_path / ".secrets/env").write_text("export MLFLOW_TRACKING_URI=https://10.83.0.2\n")
    (tmp_path / "hosts.yml").write_text("all: {hosts: {trackbox: {local_vm_name: elsewhere}}}\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh").write_text(f"#!/bin/sh\n. {tmp_path}/answer\n")
    (tmp_path / "bin/ssh").chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["log_metrics"], "bench has no subject log_metrics: there are log_metric, log_batch, "),
        (["log_metric,nothing"], "bench has no subject nothing: there are log_metric, log_batch, "),
        (["--inventory", "inventory/nowhere", "log_metric"], "inventory/nowhere has no installation to measure"),
    ],
)
def test_bad_input_is_refused_and_the_results_stay(arguments: list[str], sentence: str) -> None:
    assert refused(*arguments).startswith(f"bench: {sentence}")


def test_a_machine_that_does_not_answer_is_refused(installed: Path) -> None:
    (installed / "answer").write_text("echo No route to host >&2; exit 255\n")
    said = refused("--inventory", installed, "log_metric", path=installed / "bin")
    assert said.startswith("bench: elsewhere does not answer by SSH, and is not measured: make up. ")
    assert "No route to host" in said


@pytest.mark.parametrize(("subject", "free", "needed"), [("s3", 7, 8), ("memory,artifact", 5, 6), ("log_metric", 0, 1)])
def test_too_little_disk_is_refused_with_the_needed_and_the_free_space(
    installed: Path, subject: str, free: int, needed: int
) -> None:
    # The machine reports the free space of two disks. `bench` must use the smaller value.
    (installed / "answer").write_text(f"echo 99000000000; echo {free}900000000\n")
    said = refused("--inventory", installed, subject, path=installed / "bin")
    name = subject.removeprefix("memory,")
    assert said == (
        f"bench: {name} needs {needed} GB of free disk, and elsewhere has {free} GB: delete files there, "
        "or name other subjects.\n"
    )
