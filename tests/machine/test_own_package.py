"""To install another training package, it is enough to set variables of the role training."""

import pytest
from machine import Machine, changes
from testinfra.host import Host


def install(machine: Machine) -> str:
    """Install molecule/package on the machine; return Ansible's output."""
    return machine.play(playbook="molecule/playbooks/second-package.yml")


@pytest.fixture(scope="module")
def installed(machine: Machine) -> str:
    """Return Ansible's output of the first installation."""
    return install(machine)


def test_another_package_is_installed_by_variables_alone(installed: str, machine: Machine, host: Host) -> None:
    assert "failed=0" in installed
    run = host.check_output("hello big world").splitlines()[-1]
    answer = machine.ask(
        f"/api/2.0/mlflow/runs/get?run_id={run}", user="admin", password=machine.secret("admin_password")
    )
    assert b'"loudness"' in answer.body
    assert b"big world" in answer.body


def test_a_second_installation_changes_nothing(installed: str, machine: Machine) -> None:
    assert installed
    assert changes(install(machine)) == []


def test_it_trains_by_schedule_in_a_hardened_unit(installed: str, host: Host) -> None:
    assert installed
    assert "training-hello.timer" in host.check_output("systemctl list-timers --no-pager")
    host.check_output("systemctl start training-hello.service")
    rating = host.check_output("systemd-analyze security --no-pager training-hello | grep -oE 'level.*: [0-9.]+'")
    assert float(rating.rsplit(maxsplit=1)[1]) <= 1.5


def test_fraud_is_still_there(installed: str, host: Host) -> None:
    assert installed
    assert host.check_output("fraud --version")
