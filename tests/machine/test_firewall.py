"""The firewall opens SSH and NGINX only, lets only services connect on loopback, and leaves other tables unchanged."""

import socket
from collections.abc import Iterator

import pytest
from machine import Machine
from testinfra.host import Host

LISTENER = "systemd-run --quiet --unit=trackbox-test-listener python3 -m http.server --bind 0.0.0.0 {port}"
CONNECT = "import socket; socket.create_connection(('127.0.0.1', {port}), 3)"


def reachable(machine: Machine, port: int) -> bool:
    """Return whether the port accepts a connection from outside."""
    try:
        with socket.create_connection((machine.address, port), timeout=2):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def listener(host: Host) -> Iterator[int]:
    """Start a listener on a port that the firewall does not allow; yield the port."""
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


def test_a_new_listener_is_not_reachable_from_outside(machine: Machine, host: Host, listener: int) -> None:
    host.check_output("for i in $(seq 50); do ss -Hltn | grep -q ':%s ' && break; sleep 0.1; done", str(listener))
    host.check_output("python3 -c %s", CONNECT.format(port=listener))
    assert not reachable(machine, listener)
    try:
        host.check_output("nft insert rule inet trackbox input tcp dport %s accept", str(listener))
        assert reachable(machine, listener), "without the firewall the port must be reachable"
    finally:
        host.check_output("systemctl reload trackbox-firewall")
    assert not reachable(machine, listener)


@pytest.mark.parametrize("port", [5000, 9000, 9001])
@pytest.mark.parametrize(
    ("user", "may"), [("nobody", False), ("mysql", False), ("mlflow", True), ("minio", True), ("www-data", True)]
)
def test_only_the_services_users_connect_on_loopback(host: Host, port: int, user: str, may: bool) -> None:
    done = host.run("runuser -u %s -- python3 -c %s", user, CONNECT.format(port=port))
    assert (done.rc == 0) == may, done.stderr
    assert may or "ConnectionRefusedError" in done.stderr


def test_another_nftables_table_is_not_changed(host: Host) -> None:
    host.check_output("nft add table inet somebody_else")
    try:
        host.check_output("systemctl restart trackbox-firewall")
        assert "table inet somebody_else" in host.check_output("nft list tables")
    finally:
        host.check_output("nft delete table inet somebody_else")


def test_debians_nftables_unit_does_not_remove_the_table(host: Host) -> None:
    for action in ("start", "reload", "restart", "stop"):
        host.check_output("systemctl %s nftables", action)
        assert "policy drop" in host.check_output("nft list chain inet trackbox input"), action
