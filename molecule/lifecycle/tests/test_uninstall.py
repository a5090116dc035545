"""playbooks/uninstall.yml keeps packages and data, and lists the data. With an option, it deletes the data.

A later installation with site.yml uses the kept data.
The tests run in this order and after all others, because afterwards nothing is installed on the machine.
"""

from __future__ import annotations

import json
import re

import pytest
from machine import ROOT, Machine, find
from testinfra.host import Host

UNINSTALL = "playbooks/uninstall.yml"
WORK = "client_data.py"

# Data that uninstall.yml keeps unless uninstall_data is true.
DATA = r"/var/lib/minio(/.*)?|user minio:.*|group minio:.*"
# Allowed differences in paths that no package contains: the reason, and a regular expression of the paths.
EXPECTED = {
    "packages' books": r"/var/(lib|cache)/(apt|dpkg|debconf|ucf|ldconfig)(/.*)?|/etc/ld\.so\.cache"
    r"|/var/log/(apt/.*|dpkg\.log|alternatives\.log)|/var/lib/systemd/deb-systemd-helper-enabled/.*",
    "what packages' scripts make": r"/etc/(alternatives|rc.\.d)/.*|/usr/bin/(un)?lz\w+|/usr/share/man/man1/(un)?lz.*"
    r"|/etc/lighttpd/conf-enabled(/.*)?|/etc/mysql/(debian|my)\.cnf|/etc/apparmor\.d/local(/.*)?|/etc/apt/apt\.conf\.d/(20auto|50unattended)-upgrades"
    r"|/etc/nginx/(sites-enabled/default|modules-enabled/[\w-]+\.conf)|/var/lib/nginx/\w+|/var/www(/.*)?|/usr/lib/python3.*/__pycache__(/.*)?",
    "packages' own services, but the database's and NGINX's": r"/etc/systemd/system/[\w-]+\.target\.wants/"
    r"(unattended-upgrades\.service|logrotate\.timer)|enabled (unattended-upgrades\.service|logrotate\.timer) .*",
    "accounts": r"/etc/(passwd|shadow|group|gshadow)-?|(user|group) (mysql|prometheus):.*",
    "MySQL's folders, with its system tables": r"/var/lib/mysql(-files|-keyring)?(/.*)?",
    "files of packages that have another version now": r"gone /usr/(lib|bin|share)/.*",
    "what passes": r"/var/log/(mysql|unattended-upgrades|journal)(/.*)?|/var/log/wtmp\.db"
    r"|(gone )?/root/\.ansible/tmp/.*|/var/lib/systemd/(timers/stamp-(logrotate|apt-.*|dpkg-.*)\.timer|random-seed)",
}


def machine_state(host: Host) -> dict[str, str]:
    """Run machine_state.py on the machine; return the state that it prints."""
    script = (ROOT / "molecule/lifecycle/tests/machine_state.py").read_text()
    found: dict[str, str] = json.loads(host.check_output("python3 -c %s", script))
    return found


@pytest.fixture(scope="module")
def bare(machine: Machine) -> dict[str, str]:
    """Return the machine's state before the installation."""
    path = ROOT / f".trackbox/{machine.name}/bare.json"
    assert path.exists(), f"{path} is missing: molecule/lifecycle/prepare.yml makes it, before site.yml"
    found: dict[str, str] = json.loads(path.read_text())
    return found


def client_data(machine: Machine, what: str = "read") -> str:
    """Run client_data.py with the current passwords; return the data that it reads. With `write`, it writes first."""
    return find(machine.name, machine.secrets).run_client(WORK, what).splitlines()[-1]


@pytest.fixture(scope="module")
def work(machine: Machine) -> str:
    """Write experiments, runs, artifacts and a registered model; return them as a client reads them."""
    client_data(machine, "write")
    return client_data(machine)


@pytest.fixture(scope="module")
def confirmed(machine: Machine) -> str:
    """Run uninstall.yml without a confirmation; return the option that its error message asks for."""
    [option] = set(re.findall(r"uninstall_confirm=\w+", machine.play(playbook=UNINSTALL, status=2)))
    return f"--extra-vars={option}"


def unexpected(host: Host, bare: dict[str, str], *, data: str = "") -> list[str]:
    """Return differences from the state `bare`, except files of packages and paths that match EXPECTED or `data`."""
    now, packaged = machine_state(host), set(host.check_output("cat /var/lib/dpkg/info/*.list").splitlines())
    reasons = [re.compile(reason) for reason in (*EXPECTED.values(), data) if reason]
    differs = [thing if thing in now else f"gone {thing}" for thing in bare | now if bare.get(thing) != now.get(thing)]
    return sorted(
        thing for thing in differs if thing not in packaged and not any(reason.fullmatch(thing) for reason in reasons)
    )


def test_after_an_uninstallation_only_packages_and_the_listed_data_remain(
    machine: Machine, host: Host, bare: dict[str, str], work: str, confirmed: str
) -> None:
    said = machine.play(confirmed, playbook=UNINSTALL)
    assert "the objects: /var/lib/minio, and the user minio who owns them" in said
    assert "the database: mlflow in /var/lib/mysql" in said
    assert not unexpected(host, bare, data=DATA)


def test_a_new_installation_uses_the_old_data(machine: Machine, work: str) -> None:
    machine.play()
    assert client_data(machine) == work


def test_uninstall_data_deletes_the_data(machine: Machine, host: Host, bare: dict[str, str], confirmed: str) -> None:
    said = machine.play(confirmed, "--extra-vars=uninstall_data=true", playbook=UNINSTALL)
    assert "the objects: " not in said
    assert not unexpected(host, bare)
    assert not host.file("/var/lib/mysql/mlflow").exists


def test_a_database_server_that_does_not_start_says_why_and_the_next_run_continues(
    machine: Machine, host: Host
) -> None:
    host.check_output("apt-get purge --quiet --yes mysql-server* mysql-client* && rm -rf /var/lib/mysql /var/log/mysql")
    said = machine.play("--extra-vars", json.dumps({"mysql_settings": {"number_of_stars": 5}}), status=2)
    words = " ".join(said.split())
    assert "is not installed" in words
    assert "unknown variable 'number_of_stars=5'" in words
    machine.play()
    assert host.check_output("mysql --skip-column-names --execute 'SELECT 1'") == "1"
