"""On a machine that was used before, Trackbox works, or refuses with an error message before it changes anything.

The tests run in this order: they use the installation, remove it, and then add accounts and servers of other people.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from machine import HOST, ROOT, Machine, changes
from testinfra.host import Host

REMOVE = (ROOT / "roles/machine/files/remove").read_text()


def refused(machine: Machine, **variables: Any) -> str:
    """Run site.yml with variables that it must refuse; check that it changes nothing, and return its output."""
    said = machine.play("--extra-vars", json.dumps(variables), status=2)
    assert changes(said) == []
    assert "TASK [machine : Packages" not in said
    return " ".join(said.split())


def orders(host: Host) -> str:
    """Return the rows of another person's table."""
    return str(host.check_output("mariadb --skip-column-names --execute 'SELECT id FROM shop.orders'"))


def test_the_machine_has_the_umask_and_the_small_tmp(host: Host) -> None:
    assert host.check_output("runuser -u ops -- sudo sh -c umask") == "0077"
    assert "16M" in host.check_output("df --human-readable /tmp")
    assert "noexec" in host.check_output("findmnt --noheadings --output OPTIONS /tmp")


def test_the_installation_keeps_its_promises(machine: Machine, tmp_path: Path) -> None:
    machine.wait_for_health(200, 60)
    found = machine.promises(tmp_path)
    assert {name: result["detail"] for name, result in found.items() if result["state"] == "broken"} == {}
    assert found["programs_reachable"]["state"] == "held"


def test_a_user_can_run_programs_that_root_installed(host: Host) -> None:
    assert host.run("runuser -u nobody -- /opt/trackbox/training/fraud/environment/bin/fraud --help").rc == 0


def test_fraud_logs_in_with_a_password_of_any_characters(host: Host) -> None:
    """The inventory of this scenario sets a password with non-ASCII letters, quotes, and spaces."""
    outcomes = json.loads(host.check_output("fraud train --profile seed --models logistic --json"))["outcomes"]
    assert [outcome["name"] for outcome in outcomes] == ["logistic"]
    assert "rows" in host.check_output("fraud data list")


def test_a_second_run_changes_nothing(machine: Machine) -> None:
    assert changes(machine.play()) == []


def test_the_next_run_corrects_modes_left_by_an_earlier_version(machine: Machine, host: Host) -> None:
    package = host.check_output("ls -d /opt/trackbox/training/fraud/environment/lib/python3*/site-packages/fraud")
    marks = "/opt/trackbox/training/fraud/environment/package-*"
    host.check_output(f"chmod -R go-rwx /opt/trackbox/uv {package} {marks}")
    host.check_output("chmod 700 /opt/trackbox /var/lib/trackbox")
    machine.play()
    assert host.run("runuser -u nobody -- /opt/trackbox/training/fraud/environment/bin/fraud --help").rc == 0
    assert host.check_output("find /opt/trackbox ! -type l ! -perm -o=r") == ""
    assert host.file("/var/lib/trackbox").mode == 0o755


def test_the_other_flavor_is_refused(machine: Machine, host: Host) -> None:
    assert "mysql_flavor is mysql: set mysql_flavor: mariadb, or remove that server" in refused(
        machine, mysql_flavor="mysql"
    )
    assert orders(host) == "7"


def test_a_persons_account_in_a_variable_is_refused(machine: Machine, host: Host) -> None:
    said = refused(machine, trackbox_database_migration_user="ops")
    assert "has an account ops that Trackbox did not make (number " in said
    assert host.user("ops").shell == "/bin/bash"


def test_an_uninstallation_keeps_another_persons_database_and_its_settings(machine: Machine, host: Host) -> None:
    options = [f"--extra-vars=uninstall_confirm={HOST}", "--extra-vars=uninstall_data=true"]
    machine.play(*options, playbook="playbooks/uninstall.yml")
    assert orders(host) == "7"
    assert host.check_output("mariadb --skip-column-names --execute 'SELECT @@skip_networking, @@port'") == "0\t3306"
    assert not host.file("/var/lib/mysql/mlflow").exists
    assert not [name for name in ("minio", "mlflow", "mlflow-migrate") if host.user(name).exists]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "useradd --create-home --uid 1500 --shell /bin/bash minio",
            "userdel --remove minio",
            "an account minio that Trackbox did not make (number 1500, home /home/minio, shell /bin/bash)",
        ),
        (
            "useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin mlflow",
            "userdel mlflow",
            "an account mlflow that Trackbox did not make",
        ),
        ("groupadd trackbox", "groupdel trackbox", "a group trackbox that Trackbox did not make"),
        (
            "mkdir -p /opt/trackbox && touch /opt/trackbox/theirs",
            "rm -r /opt/trackbox",
            "has /opt/trackbox/theirs, which Trackbox did not make and would overwrite",
        ),
        (
            "printf '[Service]\\nExecStart=/usr/local/bin/minio\\n' >/etc/systemd/system/minio.service",
            "rm /etc/systemd/system/minio.service",
            "has /etc/systemd/system/minio.service, which Trackbox did not make and would overwrite",
        ),
        (
            "printf 'server {\\n  listen 8088;\\n}\\n' >/etc/nginx/conf.d/shop.conf",
            "rm /etc/nginx/conf.d/shop.conf",
            "has an NGINX with sites of its own (/etc/nginx/conf.d/shop.conf)",
        ),
    ],
    ids=["person", "system account", "group", "folder", "unit", "site"],
)
def test_accounts_folders_and_servers_of_other_people_are_refused(
    machine: Machine, host: Host, before: str, after: str, said: str
) -> None:
    host.check_output(before)
    try:
        assert said in refused(machine)
    finally:
        host.check_output(after)


def test_only_accounts_that_trackbox_made_are_removed(host: Host) -> None:
    """Only the account mlflow-migrate is removed. minio is a person's account, and mlflow existed before Trackbox."""
    host.check_output(
        "useradd --uid 1500 --home-dir /var/lib/minio --shell /usr/sbin/nologin minio && useradd --system mlflow &&"
        " useradd --system --comment Trackbox mlflow-migrate && groupadd trackbox && mkdir -p /var/lib/trackbox &&"
        " printf 'user:mlflow:/home/mlflow:/bin/sh\\ngroup:trackbox\\n' >/var/lib/trackbox/before"
    )
    try:
        command = "sh -s - remove user:minio user:mlflow user:mlflow-migrate group:trackbox"
        assert host.check_output(f"{command} <<'EOF'\n{REMOVE}\nEOF") == "user mlflow-migrate"
        assert host.user("minio").exists
        assert host.user("mlflow").exists
        assert host.group("trackbox").exists
    finally:
        host.check_output("userdel minio; userdel mlflow; groupdel trackbox; rm -r /var/lib/trackbox")


@pytest.fixture
def project(tmp_path: Path, machine: Machine) -> Iterator[Path]:
    """Create another project that uses the collection of this checkout; yield its folder."""
    variables = {
        "ansible_host": machine.address,
        "ansible_user": "ops",
        "ansible_ssh_common_args": f"-F {ROOT}/.trackbox/ssh_config",
        "trackbox_secrets": str(tmp_path / "secrets"),
        "mysql_flavor": "mariadb",
    }
    (tmp_path / "hosts.yml").write_text(json.dumps({"all": {"hosts": {"box": variables}}}))
    (tmp_path / "ansible.cfg").write_text(f"[defaults]\ninventory = hosts.yml\ncollections_path = {ROOT}/collections\n")
    yield tmp_path
    for playbook in ("vars.yml", "play.yml"):
        (tmp_path / playbook).unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("roles", "proof"),
    [
        (
            [
                {
                    "role": "trackbox.workbench.minio",
                    "minio_buckets": [{"name": "datasets"}],
                    "minio_users": [{"name": "vera", "secret": "a long secret", "read": ["datasets"]}],
                }
            ],
            "python3 -c 'import urllib.request as r; print(r.urlopen(\"http://127.0.0.1:9000/minio/health/live\").status)'",
        ),
        (
            [{"role": "trackbox.workbench.mysql"}, {"role": "trackbox.workbench.nginx"}],
            "systemctl is-active --quiet mariadb nginx && echo 200",
        ),
    ],
    ids=["minio", "mysql and nginx"],
)
def test_roles_are_used_alone_from_another_project(
    project: Path, host: Host, roles: list[dict[str, Any]], proof: str
) -> None:
    (project / "play.yml").write_text(json.dumps([{"hosts": "box", "become": True, "roles": roles}]))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "play.yml"]
    # Remove the environment variables with which Molecule configures Ansible.
    own = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    for _ in range(2):
        done = subprocess.run(command, cwd=project, env=own, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert changes(done.stdout) == []
    assert host.check_output(f"for _ in $(seq 30); do {proof} && break; sleep 1; done") == "200"
