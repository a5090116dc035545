"""A new service needs only its role folder, a line in the list of services and an inventory group."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from checkout import copy_checkout
from machine import HOST, ROOT, Machine, changes
from testinfra.host import Host

LIST = "roles/wiring/vars/main/services.yml"
# A file that only the user of the service may read.
FILE = "'/var/lib/hello/a näme'"
LAST = "  firewall: workbench\n"
# An inventory that adds the service to the machine that runs NGINX.
GROUP: dict[str, Any] = {"all": {"children": {"workbench": {"children": {"hello": {"children": {"nginx": {}}}}}}}}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of this checkout that contains the service `hello`."""
    folder = tmp_path_factory.mktemp("checkout")
    copy_checkout(folder)
    shutil.copytree(ROOT / "molecule/service/hello", folder / "roles/hello")
    text = (folder / LIST).read_text()
    assert text.count(LAST) == 1
    (folder / LIST).write_text(text.replace(LAST, f"  hello: hello\n{LAST}"))
    (folder / "more.json").write_text(json.dumps(GROUP))
    return folder


def play(machine: Machine, checkout: Path, playbook: str, *options: str, status: int = 0) -> str:
    """Run a playbook of the copy on the machine; return its output."""
    command, environment = machine.ansible(playbook, *options)
    command.append(f"--inventory={checkout / 'more.json'}")
    environment |= {"ANSIBLE_CONFIG": str(checkout / "ansible.cfg")}
    done = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def page(machine: Machine, password: str = "") -> tuple[int, str]:
    """Request the service's page as admin; return status and text."""
    answer = machine.ask("/hello/", user="admin", password=password or machine.secret("admin_password"))
    return answer.status, answer.body.decode()


def test_it_is_installed_and_stands_behind_the_door(machine: Machine, checkout: Path) -> None:
    play(machine, checkout, "site.yml", "--extra-vars=backup_target=/srv/backup")
    assert page(machine) == (200, "version 1\n")
    assert page(machine, "wrong password")[0] == 401
    assert machine.ask("/healthz").status == 200


def test_a_second_run_changes_nothing(machine: Machine, checkout: Path) -> None:
    assert changes(play(machine, checkout, "site.yml", "--extra-vars=backup_target=/srv/backup")) == []


def test_its_variables_are_checked(machine: Machine, checkout: Path) -> None:
    said = play(machine, checkout, "site.yml", "--extra-vars=hello_versoin=2", status=2)
    assert "hello_versoin is not a variable of Trackbox: did you mean hello_version?" in said


def test_the_firewall_guards_its_port(host: Host, checkout: Path) -> None:
    assert "7007" in host.check_output("nft list chain inet trackbox output")
    connect = "import socket; socket.create_connection(('127.0.0.1', 7007), 3)"
    knock = f'setpriv --reuid=nobody --clear-groups python3 -c "{connect}"'
    assert "ConnectionRefusedError" in host.run(knock).stderr


def test_verify_looks_at_it(machine: Machine, checkout: Path, host: Host) -> None:
    only = "hello_runs,hello_hardened,hello_confined,hello_port_its_own,hello_files_as_written,loopback_guarded"
    options = (f"--extra-vars=verify_only={only}",)
    assert "6 promises: 6 held" in play(machine, checkout, "playbooks/verify.yml", *options)
    host.check_output("systemctl stop hello")
    try:
        assert "✘ hello_runs" in play(machine, checkout, "playbooks/verify.yml", *options, status=2)
    finally:
        host.check_output("systemctl start hello")


def test_its_folder_is_backed_up_and_restored(machine: Machine, checkout: Path, host: Host) -> None:
    target = "--extra-vars=backup_target=/srv/backup"
    host.check_output(f"echo precious >{FILE}; chown hello {FILE}; chmod 600 {FILE}")
    play(machine, checkout, "playbooks/backup.yml", target)
    host.check_output(f"rm {FILE}; touch /var/lib/hello/later")
    play(machine, checkout, "playbooks/restore.yml", target, f"--extra-vars=restore_confirm={HOST}")
    assert host.check_output(f"stat --format='%U %a' {FILE}; cat {FILE}") == "hello 600\nprecious"
    assert not host.file("/var/lib/hello/later").exists
    assert page(machine) == (200, "version 1\n")


def test_it_is_upgraded(machine: Machine, checkout: Path) -> None:
    version = ("--extra-vars=hello_version='2'", "--extra-vars=backup_target=/srv/backup")
    assert "Would upgrade: hello to version 2" in play(machine, checkout, "playbooks/upgrade.yml", "--check", *version)
    assert page(machine) == (200, "version 1\n")
    play(machine, checkout, "playbooks/upgrade.yml", "--extra-vars=upgrade_backup=false", *version)
    assert page(machine) == (200, "version 2\n")
    assert "Nothing to upgrade" in play(machine, checkout, "playbooks/upgrade.yml", "--check", *version)


def test_it_is_uninstalled(machine: Machine, checkout: Path, host: Host) -> None:
    confirmed = f"--extra-vars=uninstall_confirm={HOST}"
    said = play(machine, checkout, "playbooks/uninstall.yml", confirmed)
    assert "the page: /var/lib/hello" in said
    assert not host.file("/etc/systemd/system/hello.service").exists
    assert not host.user("hello").exists
    assert host.file("/var/lib/hello/index.html").exists
