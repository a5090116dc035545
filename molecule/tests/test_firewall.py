"""The firewall: from outside SSH and the front door, on loopback the services for one another, no table but ours."""

import socket
from collections.abc import Iterator

import pytest
from machine import Machine
from testinfra.host import Host

LISTENER = "systemd-run --quiet --unit=trackbox-test-listener python3 -m http.server --bind 0.0.0.0 {port}"
CONNECT = "import socket; socket.create_connection(('127.0.0.1', {port}), 3)"


def reachable(machine: Machine, port: int) -> bool:
    """Whether somebody outside can connect to the port."""
    try:
        with socket.create_connection((machine.address, port), timeout=2):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def listener(host: Host) -> Iterator[int]:
    """A port on which something listens that nobody was told of."""
    port = 8099
    host.check_output(LISTENER.format(port=port))
    yield port
    host.check_output("systemctl stop trackbox-test-listener")


@pytest.mark.parametrize("port", [22, 80, 443, 9443])
def test_the_front_door_and_ssh_are_open(machine: Machine, port: int) -> None:
    assert reachable(machine, port)


@pytest.mark.parametrize("port", [3306, 5000, 9000, 9001, 33060])
def test_a_port_that_is_not_the_front_door_is_closed(machine: Machine, port: int) -> None:
    assert not reachable(machine, port)


def test_a_port_that_somebody_opens_stays_closed_to_the_world(machine: Machine, host: Host, listener: int) -> None:
    host.check_output("for i in $(seq 50); do ss -Hltn | grep -q ':%s ' && break; sleep 0.1; done", str(listener))
    host.check_output("python3 -c %s", CONNECT.format(port=listener))
    assert not reachable(machine, listener)
    try:
        host.check_output("nft insert rule inet trackbox input tcp dport %s accept", str(listener))
        assert reachable(machine, listener), "the test cannot tell open from closed"
    finally:
        host.check_output("systemctl reload trackbox-firewall")
    assert not reachable(machine, listener)


@pytest.mark.parametrize("port", [5000, 9000, 9001])
@pytest.mark.parametrize(
    ("user", "may"), [("nobody", False), ("mysql", False), ("mlflow", True), ("minio", True), ("www-data", True)]
)
def test_a_service_on_the_loopback_is_for_the_services(host: Host, port: int, user: str, may: bool) -> None:
    done = host.run("runuser -u %s -- python3 -c %s", user, CONNECT.format(port=port))
    assert (done.rc == 0) == may, done.stderr
    assert may or "ConnectionRefusedError" in done.stderr


def test_a_table_of_somebody_else_is_left_alone(host: Host) -> None:
    host.check_output("nft add table inet somebody_else")
    try:
        host.check_output("systemctl restart trackbox-firewall")
        assert "table inet somebody_else" in host.check_output("nft list tables")
    finally:
        host.check_output("nft delete table inet somebody_else")


def test_debians_own_unit_does_not_wipe_it_away(host: Host) -> None:
    for action in ("start", "reload", "restart", "stop"):
        host.check_output("systemctl %s nftables", action)
        assert "policy drop" in host.check_output("nft list chain inet trackbox input"), action
