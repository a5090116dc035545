"""playbooks/verify.yml where there is nothing to look at, or a name nobody knows: one sentence, nothing is changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_run import ROOT, Outcome, inventory_of, play


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Return an inventory of this machine, as one that was installed from here."""
    (tmp_path / ".secrets").mkdir()
    (tmp_path / ".secrets/env").touch()
    return inventory_of(tmp_path, {"vm": {}})


def look(inventory: Path, **settings: str) -> Outcome:
    return play(ROOT / "playbooks/verify.yml", inventory, "-e", json.dumps(settings))


def test_a_promise_that_nobody_made_gets_the_one_that_was_meant(inventory: Path) -> None:
    assert look(inventory, verify_only="ports_open,port_closed").refused("vm") == (
        "verify_only names port_closed, which is no promise: did you mean ports_closed?"
    )


def test_a_misspelt_variable_gets_the_one_that_was_meant(inventory: Path) -> None:
    assert look(inventory, verify_onyl="ports_open").refused("vm") == (
        "verify_onyl is not a variable of Trackbox: did you mean verify_only?"
    )


def test_what_was_not_installed_from_here_is_not_looked_at(inventory: Path) -> None:
    env = inventory.parent / ".secrets/env"
    env.unlink()
    assert look(inventory).refused("vm") == (
        f"vm was not installed from here: there is no {env}. Run site.yml with this inventory first."
    )
    assert list(env.parent.iterdir()) == []


@pytest.mark.skipif(Path("/etc/trackbox").exists(), reason="Trackbox is installed on this machine")
def test_a_machine_without_trackbox_is_told_to_install_it(inventory: Path) -> None:
    assert look(inventory, verify_only="ports_open").refused("vm") == (
        "vm has no /etc/trackbox: nothing is installed there. Run site.yml first."
    )
