"""The module `units`, run by Ansible on this machine, with a fake systemctl."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LIBRARY = Path(__file__).parents[2] / "plugins/modules"
PYTHON = ["-e", f"ansible_python_interpreter={sys.executable}"]

# A fake systemctl. It prints the state of units from the file `state`, and logs all other calls in the file `called`.
SYSTEMCTL = """#!/bin/sh
cd "$(dirname "$0")/.."
verb=$1
echo "$@" >>called
case $verb in
show)
  shift 3
  for unit; do grep "^$unit " state | cut -d' ' -f2- | tr ' ' '\\n'; echo; done ;;
start) [ "$3" != bad.service ] || { echo "Job for $3 failed." >&2; exit 1; } ;;
esac
"""
RUNS = "LoadState=loaded ActiveState=active UnitFileState=enabled"
FRESH = "LoadState=loaded ActiveState=inactive UnitFileState=disabled"
STATIC = "LoadState=loaded ActiveState=active UnitFileState=static"
NONE = "LoadState=not-found ActiveState=inactive UnitFileState="


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with the fake systemctl: one running unit, two new units, one static unit and one missing unit."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/systemctl").write_text(SYSTEMCTL)
    (tmp_path / "bin/systemctl").chmod(0o755)
    state = {"a.service": RUNS, "b.timer": FRESH, "bad.service": FRESH, "s.service": STATIC, "none.service": NONE}
    (tmp_path / "state").write_text("".join(f"{name} {text}\n" for name, text in state.items()))
    return tmp_path


Units = list[dict[str, object]]


def run(at: Path, units: Units, *options: str, reload: bool = False) -> tuple[dict[str, Any], list[str]]:
    """Run the module; return its result, and its calls of systemctl except the status query."""
    task = {"units": {"units": units, "daemon_reload": reload}}
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [task]}
    (at / "play.yml").write_text(json.dumps([play]))
    (at / "called").write_text("")
    told = subprocess.run(
        ["ansible-playbook", "-i", "localhost,", "-c", "local", *PYTHON, *options, "play.yml"],
        cwd=at,
        env=os.environ
        | {"ANSIBLE_LIBRARY": str(LIBRARY), "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}
        | {"PATH": f"{at}/bin:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found: dict[str, Any] = json.loads(told.stdout)["plays"][0]["tasks"][0]["hosts"]["localhost"]
    return found, [line for line in (at / "called").read_text().splitlines() if not line.startswith("show ")]


def test_what_runs_stays_and_is_asked_for_once(machine: Path) -> None:
    told, called = run(machine, [{"name": "a.service"}, {"name": "s.service"}])
    assert (told["changed"], told["units"], called) == (False, [], [])


def test_new_ones_are_enabled_and_started_in_their_order(machine: Path) -> None:
    told, called = run(machine, [{"name": "b.timer"}, {"name": "a.service", "state": "restarted"}], reload=True)
    assert (told["changed"], told["units"]) == (True, ["b.timer", "a.service"])
    assert called == ["daemon-reload", "enable -- b.timer", "start -- b.timer", "restart -- a.service"]


def test_one_that_shall_not_run_is_disabled_and_stopped(machine: Path) -> None:
    unwanted = {"state": "stopped", "enabled": False}
    told, called = run(machine, [{"name": "a.service", **unwanted}, {"name": "none.service", **unwanted}])
    assert told["units"] == ["a.service"]
    assert called == ["disable -- a.service", "stop -- a.service"]


def test_check_mode_says_it_and_changes_nothing(machine: Path) -> None:
    told, called = run(machine, [{"name": "b.timer"}], "--check", reload=True)
    assert (told["units"], called) == (["b.timer"], [])


def test_what_is_missing_or_does_not_start_is_named(machine: Path) -> None:
    assert run(machine, [{"name": "none.service"}])[0]["msg"] == "There is no unit none.service."
    told, _ = run(machine, [{"name": "bad.service"}])
    assert told["failed"]
    assert told["msg"] == "systemctl start -- bad.service: Job for bad.service failed."
