"""A machine works with everything off that has a switch, and after everything is switched on, and off again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from machine import ROOT, Machine, changes
from testinfra.host import Host

OFF: dict[str, Any] = yaml.safe_load((ROOT / "molecule/switches/inventory.yml").read_text())["all"]["vars"]
ON = {
    **{name: not value for name, value in OFF.items() if isinstance(value, bool)},
    "serving_models": [{"name": "fraud"}],
    "serving_log": "all",
    "backup_target": "/srv/backup",
    "backup_proof_schedule": "Sun *-*-* 04:30:00",
    "training_monitor_schedule": "*-*-01 05:00",
}
ALL = f"--extra-vars={json.dumps(ON)}"
# Parts of the machine that a switch adds. Each command prints a part's content in lines.
PARTS = {
    "files": "cd /etc && find nginx systemd/system trackbox -type f -exec sha256sum {} + | sort -k 2",
    "ports": "ss -Hltn | awk '{print $4}' | sort",
    # Without the firewall, the program is not installed either.
    "firewall": "if command -v nft >/dev/null; then nft list tables; fi",
    "timers": "systemctl list-timers --all --plain --no-legend | grep -o '[a-z-]*[.]timer' | sort",
    "processes": "ps -eo user= | sort -u",
    "database users": "$(command -v mysql) -N -e 'SELECT user, host FROM mysql.user ORDER BY 1, 2'",
}


def parts(host: Host) -> dict[str, list[str]]:
    """Return the lines of each part of the machine."""
    return {name: host.check_output(command.replace("%", "%%")).splitlines() for name, command in PARTS.items()}


def different(one: Mapping[str, list[str]], other: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return the lines that only one of two states of the machine has, by part."""
    found = {name: sorted({*one[name]} ^ {*other[name]}) for name in PARTS}
    return {name: lines for name, lines in found.items() if lines}


def check_sound(machine: Machine, host: Host, *options: str) -> None:
    """Check that no promise is broken, because verify.yml would fail then, and that no unit has failed."""
    machine.play(*options, playbook="playbooks/verify.yml")
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""


def status(machine: Machine, path: str) -> int:
    """Request a path as admin; return the status."""
    return machine.ask(path, user="admin", password=machine.secret("admin_password")).status


@pytest.fixture(scope="module")
def without(host: Host) -> dict[str, list[str]]:
    """Return the parts of the machine on which everything is switched off."""
    return parts(host)


def test_every_promise_holds_without_them(machine: Machine, host: Host, without: dict[str, list[str]]) -> None:
    assert without["firewall"] == []
    check_sound(machine, host)


def test_mlflow_and_training_work_without_them(machine: Machine, host: Host) -> None:
    assert status(machine, "/version") == 200
    # Nothing of a page that is switched off answers, and MLflow gives its 404.
    assert {path: status(machine, path) for path in ("/status/", "/serving/fraud/ping")} == {
        "/status/": 404,
        "/serving/fraud/ping": 404,
    }
    result = json.loads(host.check_output("fraud train --profile seed --json"))
    assert result["outcomes"]


def test_everything_can_be_switched_on(machine: Machine, host: Host, without: dict[str, list[str]]) -> None:
    machine.play(ALL)
    assert different(without, parts(host)).keys() == PARTS.keys()
    assert changes(machine.play(ALL)) == []
    machine.play(ALL, playbook="playbooks/backup.yml")
    check_sound(machine, host, ALL)
    assert (status(machine, "/status/"), status(machine, "/version")) == (200, 200)


def test_a_model_that_was_trained_before_is_served(machine: Machine, host: Host) -> None:
    host.check_output("fraud promote --force --wait")
    assert status(machine, "/serving/fraud/ping") == 200


def test_switched_off_again_nothing_is_left(machine: Machine, host: Host, without: dict[str, list[str]]) -> None:
    machine.play()
    assert different(without, parts(host)) == {}
    assert changes(machine.play()) == []
    check_sound(machine, host)
    assert status(machine, "/version") == 200
