"""The module `files`, run by Ansible on this machine."""

import getpass
import grp
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LIBRARY = Path(__file__).parents[2] / "plugins/modules"
PYTHON = ["-e", f"ansible_python_interpreter={sys.executable}"]
ME = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}


def run(tmp_path: Path, files: list[dict[str, str]], *options: str) -> dict[str, Any]:
    """Run the module; return its result."""
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [{"files": {"files": [ME | file for file in files]}}]}
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    told = subprocess.run(
        ["ansible-playbook", "-i", "localhost,", "-c", "local", *PYTHON, *options, "play.yml"],
        cwd=tmp_path,
        env=os.environ | {"ANSIBLE_LIBRARY": str(LIBRARY), "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found: dict[str, Any] = json.loads(told.stdout)["plays"][0]["tasks"][0]["hosts"]["localhost"]
    return found


@pytest.fixture
def files(tmp_path: Path) -> list[dict[str, str]]:
    return [
        {"path": f"{tmp_path}/secrets/", "mode": "0700"},
        {"path": f"{tmp_path}/secrets/key", "mode": "0600", "content": "größer\n"},
        {"path": f"{tmp_path}/new/folder/unit", "content": "a\n"},
    ]


def test_what_is_missing_is_made_and_what_is_there_stays(tmp_path: Path, files: list[dict[str, str]]) -> None:
    made = run(tmp_path, files)
    assert made["paths"] == [file["path"] for file in files]
    assert (tmp_path / "secrets/key").read_text() == "größer\n"
    modes = {"secrets": 0o700, "secrets/key": 0o600, "new/folder": 0o755, "new/folder/unit": 0o644}
    assert {name: (tmp_path / name).stat().st_mode & 0o7777 for name in modes} == modes
    inode = (tmp_path / "secrets/key").stat().st_ino
    again = run(tmp_path, files)
    assert (again["changed"], again["paths"]) == (False, [])
    assert (tmp_path / "secrets/key").stat().st_ino == inode


def test_what_differs_is_mended(tmp_path: Path, files: list[dict[str, str]]) -> None:
    run(tmp_path, files)
    (tmp_path / "secrets").chmod(0o755)
    (tmp_path / "new/folder/unit").write_text("b\n")
    assert run(tmp_path, files)["paths"] == [files[0]["path"], files[2]["path"]]
    assert (tmp_path / "secrets").stat().st_mode & 0o7777 == 0o700
    assert (tmp_path / "new/folder/unit").read_text() == "a\n"


def test_check_mode_says_it_and_changes_nothing(tmp_path: Path, files: list[dict[str, str]]) -> None:
    told = run(tmp_path, files, "--check", "--diff")
    assert told["paths"] == [file["path"] for file in files]
    assert told["diff"][2]["after"] == "a\n"
    assert not (tmp_path / "secrets").exists()
    assert not (tmp_path / "new").exists()


def test_what_does_not_validate_changes_nothing(tmp_path: Path, files: list[dict[str, str]]) -> None:
    run(tmp_path, files)
    bad = [{**files[2], "content": "b\n", "validate": "grep -q a %s"}]
    told = run(tmp_path, bad)
    assert f"{files[2]['path']} is left as it is, the new one does not validate" in told["msg"]
    assert (tmp_path / "new/folder/unit").read_text() == "a\n"
