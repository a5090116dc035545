"""The services run now and start at boot, are hardened, and only NGINX and SSH listen on every address."""

import pytest
from testinfra.host import Host

SERVICES = ["minio", "mlflow", "nginx"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_now_and_at_boot(host: Host, name: str) -> None:
    service = host.service(name)
    assert service.is_running
    assert service.is_enabled


def test_the_database_runs_now_and_at_boot(host: Host) -> None:
    assert host.check_output("systemctl is-active mysql || systemctl is-active mariadb").endswith("active")
    assert "enabled" in host.run("systemctl is-enabled mysql mariadb").stdout


def test_nothing_but_the_front_door_and_ssh_listens_on_every_address(host: Host) -> None:
    listening = host.check_output("ss -Hltn | awk '{print $4}'").split()
    everywhere = {int(at.rsplit(":", 1)[1]) for at in listening if not at.startswith(("127.", "[::1]"))}
    assert everywhere == {22, 80, 443, 9443}


def test_the_front_door_listens_on_ipv6_if_the_machine_has_it(host: Host) -> None:
    listening = set(host.check_output("ss -Hltn | awk '{print $4}'").split())
    wanted = {f"[::]:{port}" for port in (80, 443, 9443)}
    # Files in /proc have the size 0, so grep checks whether the file has content.
    has_ipv6 = host.run("grep -q . /proc/net/if_inet6").rc == 0
    assert listening & wanted == (wanted if has_ipv6 else set())


def test_no_unit_has_failed(host: Host) -> None:
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""


@pytest.mark.parametrize(("name", "most"), [("minio", 1.5), ("mlflow", 1.5), ("nginx", 3.0), ("database", 3.0)])
def test_a_service_is_hardened(host: Host, name: str, most: float) -> None:
    if name == "database":
        name = "mysql" if host.service("mysql").is_running else "mariadb"
    rating = host.check_output(f"systemd-analyze security --no-pager {name} | grep -oE 'level.*: [0-9.]+'")
    assert float(rating.rsplit(maxsplit=1)[1]) <= most


def test_mlflow_runs_no_process_for_its_job_queues(host: Host) -> None:
    commands = host.check_output("ps -u mlflow -o args=").splitlines()
    assert commands
    assert not [command for command in commands if "huey" in command]
