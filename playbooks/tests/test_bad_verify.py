"""playbooks/verify.yml refuses a machine without an installation, and unknown names, with one error message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_run import ROOT, Outcome, inventory_of, play


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Return an inventory of this machine, whose folder contains `.secrets/env`, as if site.yml had installed it."""
    (tmp_path / ".secrets").mkdir()
    (tmp_path / ".secrets/env").touch()
    return inventory_of(tmp_path, {"vm": {}})


def verify(inventory: Path, **settings: str) -> Outcome:
    return play(ROOT / "playbooks/verify.yml", inventory, "-e", json.dumps(settings))


def test_an_unknown_promise_gets_a_suggestion(inventory: Path) -> None:
    assert verify(inventory, verify_only="ports_open,port_closed").refused("vm") == (
        "verify_only names port_closed, which is no promise: did you mean ports_closed?"
    )


def test_a_misspelt_variable_gets_a_suggestion(inventory: Path) -> None:
    assert verify(inventory, verify_onyl="ports_open").refused("vm") == (
        "verify_onyl is not a variable of Trackbox: did you mean verify_only?"
    )


def test_a_machine_installed_by_another_controller_is_refused(inventory: Path) -> None:
    env = inventory.parent / ".secrets/env"
    env.unlink()
    assert verify(inventory).refused("vm") == (
        f"vm was not installed from here: there is no {env}. Run site.yml with this inventory first."
    )
    assert list(env.parent.iterdir()) == []


@pytest.mark.skipif(Path("/etc/trackbox").exists(), reason="Trackbox is installed on this machine")
def test_a_machine_without_trackbox_gets_the_command_to_install_it(inventory: Path) -> None:
    assert verify(inventory, verify_only="ports_open").refused("vm") == (
        "vm has no /etc/trackbox: nothing is installed there. Run site.yml first."
    )
