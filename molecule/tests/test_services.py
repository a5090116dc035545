"""The services run, at boot too, and are seen by those only whom they concern."""

import socket

import pytest
from conftest import Machine
from testinfra.host import Host

SERVICES = ["minio", "mlflow", "nginx"]
INSIDE_ONLY = [3306, 5000, 9000, 9001, 33060]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_now_and_at_boot(host: Host, name: str) -> None:
    service = host.service(name)
    assert service.is_running
    assert service.is_enabled


def test_the_database_runs_now_and_at_boot(host: Host) -> None:
    assert host.check_output("systemctl is-active mysql || systemctl is-active mariadb").endswith("active")
    assert "enabled" in host.run("systemctl is-enabled mysql mariadb").stdout


@pytest.mark.parametrize("port", INSIDE_ONLY)
def test_a_port_that_is_not_the_front_door_is_closed_from_outside(machine: Machine, port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((machine.address, port), timeout=5)


def test_nothing_but_the_front_door_and_ssh_listens_on_every_address(host: Host) -> None:
    listening = host.check_output("ss -Hltn | awk '{print $4}'").split()
    everywhere = {int(at.rsplit(":", 1)[1]) for at in listening if not at.startswith(("127.", "[::1]"))}
    assert everywhere == {22, 80, 443, 9443}


def test_no_unit_has_failed(host: Host) -> None:
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""


@pytest.mark.parametrize("name", ["minio", "mlflow"])
def test_a_service_of_ours_is_hardened(host: Host, name: str) -> None:
    rating = host.check_output(f"systemd-analyze security --no-pager {name} | grep -oE 'level.*: [0-9.]+'")
    assert float(rating.rsplit(maxsplit=1)[1]) <= 1.5


def test_mlflow_runs_no_process_for_its_job_queues(host: Host) -> None:
    commands = host.check_output("ps -u mlflow -o args=").splitlines()
    assert commands
    assert not [command for command in commands if "huey" in command]
