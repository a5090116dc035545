"""Attacks by a user with a shell on the machine and no rights."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from machine import Machine
from testinfra.backend.base import CommandResult
from testinfra.host import Host

Run = Callable[[str], CommandResult]
BUS = "busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager"
# Folders of Trackbox, and other folders that could contain a secret.
PLACES = "/etc /opt/trackbox /var/lib /var/log /var/cache /run /tmp /var/tmp /root /home /usr/local"


@pytest.fixture
def run(host: Host, mallory: str, attacks: Counter[str]) -> Run:
    """Return a function that runs a command as the user mallory, and counts it as an attack."""

    def run_one(command: str) -> CommandResult:
        attacks["local"] += 1
        return host.run("timeout 20 runuser -u %s -- bash -c %s", mallory, command)

    return run_one


@pytest.fixture(scope="module")
def secret_files(host: Host, machine: Machine) -> list[str]:
    """Return every file on the machine that contains a generated secret."""
    names = [file.name for file in machine.secrets.iterdir() if file.name not in ("ca.crt", "summary.txt", "env")]
    words = "\n".join(machine.secret(name) for name in names)
    command = f"grep -rlIF --devices=skip --exclude-dir=proc -f - {PLACES} 2>/dev/null"
    found = host.run(f"printf %s {shlex.quote(words)} | {command}").stdout.split()
    assert len(found) >= 5
    return found


@pytest.mark.parametrize("port", [3306, 5000, 9000, 9001, 9490, 9491, 9492, 33060])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "127.8.8.8", "0.0.0.0", "::ffff:127.0.0.1"])
def test_no_port_behind_the_door_answers(run: Run, port: int, address: str) -> None:
    assert run(f"exec 3<>/dev/tcp/{address}/{port}").rc != 0


def test_no_port_answers_by_the_machines_own_address(run: Run, machine: Machine) -> None:
    for port in (3306, 5000, 9000, 9001, 9490, 9491, 9492, 33060):
        assert run(f"exec 3<>/dev/tcp/{machine.address}/{port}").rc != 0


@pytest.mark.parametrize(
    "user", ["root", "mlflow", "mlflow-migrate", "mysql.sys", "mysql", "mallory", "debian-sys-maint", ""]
)
def test_the_database_refuses_other_users(run: Run, user: str) -> None:
    for option in ("", "--password=", "--password=x", "--protocol=tcp --host=127.0.0.1"):
        assert run(f"mysql --user={user!r} {option} -e 'SELECT 1'").rc != 0


def test_no_file_with_a_secret_can_be_read(run: Run, secret_files: list[str]) -> None:
    assert [path for path in secret_files if run(f"head -c 1 {shlex.quote(path)}").rc == 0] == []


@pytest.mark.parametrize(
    "path",
    [
        "/etc/trackbox/nginx/htpasswd",
        "/etc/trackbox/nginx/tokens.conf",
        "/etc/trackbox/nginx/ca.key",
        "/etc/trackbox/nginx/server.key",
        "/etc/trackbox/mlflow/aws",
        "/etc/trackbox/minio/root_password",
        "/etc/trackbox/training/fraud.env",
        "/run/credentials/mlflow.service/aws",
        "/run/credentials/minio.service/root_password",
        "/var/lib/minio/.minio.sys/config/config.json/xl.meta",
        "/var/lib/mysql/ibdata1",
        "/var/lib/mlflow/tmp",
        "/var/log/nginx/access.log",
        "/var/log/mysql/error.log",
    ],
)
def test_a_file_of_a_service_can_not_be_read(run: Run, path: str) -> None:
    assert run(f"head -c 1 {path} || ls {path}/*").rc != 0


def test_nothing_of_ours_can_be_written(run: Run, host: Host) -> None:
    ours = "/opt/trackbox /etc/trackbox /var/lib/minio /var/lib/mysql /var/lib/mlflow /var/lib/nginx /var/log/nginx"
    units = "/etc/systemd/system /etc/nginx /etc/mysql /usr/local/bin/fraud /etc/nftables.conf"
    assert host.check_output(f"find {ours} {units} ! -type l -perm /o+w ! -type s | head") == ""
    assert run(f"find {ours} {units} ! -type l -writable 2>/dev/null | head").stdout == ""
    assert host.check_output("find /opt/trackbox /etc/trackbox /usr/local -perm /6000 | head") == ""


@pytest.mark.parametrize("user", ["mlflow", "minio", "mysql", "www-data"])
def test_no_process_data_can_be_read(run: Run, host: Host, user: str) -> None:
    pid = host.check_output("pgrep -o -u %s", user)
    for what in (
        "environ",
        "mem",
        "maps",
        "fd",
        "cwd",
        "root",
        "exe",
        "io",
        "stack",
        "syscall",
        f"task/{pid}/environ",
    ):
        assert run(f"head -c 1 /proc/{pid}/{what} || ls /proc/{pid}/{what}/").rc != 0, what
    assert run(f"kill -0 {pid}").rc != 0
    assert run(f"python3 -c 'import ctypes; exit(ctypes.CDLL(None).ptrace(16, {pid}, 0, 0) == 0)'").rc == 0


def test_no_command_line_and_no_unit_contains_a_secret(run: Run, machine: Machine) -> None:
    seen = run(
        "cat /proc/*/cmdline | tr '\\0' ' '; ps axeww; systemctl show '*' --all; systemctl cat '*' 2>/dev/null"
    ).stdout
    seen += run("busctl tree org.freedesktop.systemd1; systemctl show-environment; loginctl list-sessions").stdout
    names = [file.name for file in machine.secrets.iterdir() if file.name not in ("ca.crt", "summary.txt", "env")]
    assert len(seen) > 100_000
    assert [name for name in names if machine.secret(name) in seen] == []


@pytest.mark.parametrize(
    "command",
    [
        "systemctl stop mlflow",
        "systemctl edit mlflow --stdin </dev/null",
        "systemctl set-property minio CPUQuota=1%",
        "systemctl kill mysql",
        "systemctl reload trackbox-firewall",
        "systemctl start training-x",
        "systemctl daemon-reload",
        "systemctl reboot",
        "systemd-run id",
        "systemd-creds cat root_password",
        f"{BUS} StopUnit ss nginx.service fail",
        f"{BUS} SetEnvironment as 1 A=B",
        "pkexec id",
        "sudo -n id",
        "su - mlflow -c id </dev/null",
        "runuser -u mlflow id",
        "nft list ruleset",
        "nft flush ruleset",
        "nginx -s stop",
        "nginx -t",
        "mysqladmin shutdown",
        "mysqld --datadir=/var/lib/mysql",
        "fraud data list",
        "/opt/trackbox/training/fraud/environment/bin/fraud data list",
        "journalctl -u mlflow | grep -v '^-- No entries' | grep -q .",
        "journalctl _UID=0 | grep -v '^-- No entries' | grep -q .",
        "dmesg",
        "unshare --mount sh -c 'mount --bind /etc/shadow /tmp'",
        "crontab -u root -l",
        "ln -f /etc/trackbox/nginx/htpasswd /tmp/mine",
        "ls /etc/trackbox/nginx",
        "ls /etc/trackbox/minio",
        "ls /etc/trackbox/mlflow",
        "ls /etc/trackbox/training",
        "ls /var/lib/minio",
        "ls /run/credentials/mlflow.service",
        "cat /etc/shadow",
        "nsenter --target 1 --mount id",
        "python3 -c 'import os; os.setuid(0)'",
    ],
)
def test_a_privileged_command_is_refused(run: Run, command: str) -> None:
    assert run(f"{command} >/dev/null 2>&1").rc != 0


def test_the_front_door_needs_a_password_on_loopback_too(run: Run) -> None:
    ask = "exec 3<>/dev/tcp/127.0.0.1/80; printf 'GET / HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n' >&3; head -1 <&3"
    assert " 301 " in run(ask).stdout
    ask = "import ssl, urllib.request as u; u.urlopen('https://localhost/', context=ssl._create_unverified_context())"
    assert "401" in run(f"python3 -c {shlex.quote(ask)}").stderr


@pytest.fixture
def trainer(host: Host, mallory: str) -> Iterator[None]:
    """Add the user mallory to the group of the training users; remove mallory from the group afterwards."""
    host.check_output("usermod --append --groups trackbox %s", mallory)
    yield
    host.check_output("gpasswd --delete %s trackbox", mallory)


def test_a_training_user_reads_only_the_training_credentials(run: Run, trainer: None, secret_files: list[str]) -> None:
    assert run("fraud data list").rc == 0
    readable = [path for path in secret_files if run(f"head -c 1 {shlex.quote(path)}").rc == 0]
    assert readable == ["/etc/trackbox/training/fraud.env"]
    assert run("ls /etc/trackbox/nginx /etc/trackbox/minio /etc/trackbox/mlflow").rc != 0
    assert run("exec 3<>/dev/tcp/127.0.0.1/9000").rc != 0
