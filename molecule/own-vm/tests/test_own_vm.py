"""What docs/your-own-vm.md promises, asked on the controller as its ordinary user."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import testinfra
from testinfra.host import Host

PROJECT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
INVENTORY = "trackbox/inventory/mine"
URL = "https://own-vm-target"
WARNINGS = (
    "Deprecation warnings can be disabled",
    "community.mysql.mysql_",  # its successor is not in the lock for Python 3.11
    "Create user up to this point in real play",  # check mode on a bare machine, which has no user `minio` yet
    "Create group up to this point in real play",
)


@pytest.fixture(scope="module")
def host() -> Host:
    """The controller, as the user who installed Trackbox from there."""
    return testinfra.get_host("ssh://ada@own-vm-controller", ssh_config=str(PROJECT / ".trackbox/ssh_config"))


def status(host: Host, path: str, options: str = "") -> str:
    """Return the status that curl gets for a path of the front door."""
    command = f"curl --silent --max-time 30 --cacert {INVENTORY}/secrets/ca.crt --output /dev/null --write-out '%{{http_code}}'"
    return host.check_output(f"{command} {options} {URL}{path}")


def password(host: Host) -> str:
    """Return curl's option that brings the admin's password, on no command line."""
    host.check_output(f"""printf 'user = "admin:%s"' "$(cat {INVENTORY}/secrets/admin_password)" >.curlrc.admin""")
    return "--config .curlrc.admin"


def test_the_controller_needs_no_root(host: Host) -> None:
    assert host.check_output("id -un") == "ada"
    assert host.run("sudo -n true").failed


def test_the_controller_runs_the_ansible_that_is_locked_for_its_python(host: Host) -> None:
    locked = re.search(r"^ansible-core==(\S+) ; python_full_version >= '3.12'", (PROJECT / "requirements.txt").read_text(), re.M)
    version = host.check_output("trackbox/.venv/bin/ansible --version")
    assert locked
    assert f"[core {locked[1]}]" in version
    assert "python version = 3.13." in version


@pytest.mark.parametrize("log", ["check", "install", "again"])
def test_a_run_fails_nowhere(host: Host, log: str) -> None:
    recap = host.file(f"/home/ada/{log}.log").content_string.split("PLAY RECAP")[1]
    assert re.search(r"^trackbox +: ok=\d+ .*unreachable=0 +failed=0 ", recap, re.M)


@pytest.mark.parametrize("log", ["check", "install", "again"])
def test_a_run_shows_no_secret(host: Host, log: str) -> None:
    secrets = host.check_output(f"grep --no-filename -xE '[A-Za-z0-9]{{32}}' {INVENTORY}/secrets/*").split()
    assert len(secrets) >= 7
    text = host.file(f"/home/ada/{log}.log").content_string
    assert [secret for secret in secrets if secret in text] == []


@pytest.mark.parametrize("log", ["check", "install", "again"])
def test_a_run_warns_of_nothing_that_could_be_mended(host: Host, log: str) -> None:
    lines = host.file(f"/home/ada/{log}.log").content_string.splitlines()
    warnings = [line for line in lines if "WARNING]" in line and not any(known in line for known in WARNINGS)]
    assert warnings == []


def test_ansible_takes_no_secret_for_a_host(host: Host) -> None:
    graph = host.check_output("cd trackbox && .venv/bin/ansible-inventory -i inventory/mine --graph")
    assert set(re.findall(r"--(\w+)", graph)) == {"trackbox"}


def test_a_second_run_changes_nothing(host: Host) -> None:
    assert re.search(r"^trackbox +: ok=\d+ +changed=0 ", host.file("/home/ada/again.log").content_string, re.M)


def test_nobody_else_reads_the_secrets_and_git_ignores_them(host: Host) -> None:
    assert host.check_output(f"find {INVENTORY}/secrets -type f -perm /077 -not -name ca.crt") == ""
    assert "secrets" not in host.check_output("cd trackbox && git status --porcelain --untracked-files=all")


def test_the_front_door_is_ready_and_asks_for_the_password(host: Host) -> None:
    assert status(host, "/healthz") == "200"
    assert status(host, "/") == "401"
    assert status(host, "/", "--user admin:wrong") == "401"
    assert status(host, "/", password(host)) == "200"


def test_clients_that_do_not_trust_the_authority_refuse(host: Host) -> None:
    assert host.run(f"curl --silent {URL}/healthz").rc == 60


def test_the_user_of_the_machine_trains(host: Host) -> None:
    trained = host.run("ssh ops@own-vm-target fraud train")
    assert trained.rc == 0, trained.stderr
    search = f"{URL}/api/2.0/mlflow/registered-models/search"
    experiment = f"{URL}/api/2.0/mlflow/experiments/get-by-name?experiment_name=fraud"
    curl = f"curl --silent --fail --max-time 30 --cacert {INVENTORY}/secrets/ca.crt {password(host)}"
    assert '"lifecycle_stage": "active"' in host.check_output(f"{curl} '{experiment}'")
    assert host.run(f"{curl} '{search}'").rc == 0
