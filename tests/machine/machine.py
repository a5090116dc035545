"""Helpers and fixtures for tests of an installed machine, which is TRACKBOX_VM or by default the VM of `make up`."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml
from testinfra.host import Host

ROOT = Path(__file__).parents[2]
# The machine's name in the inventory.
HOST = os.environ.get("TRACKBOX_HOST", "instance")
CLIENT = ROOT / "training/.venv/bin/python"
# breakings.yml violates each promise (a check of verify.yml), so it contains the names of all promises.
BREAKINGS: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(
    (ROOT / "molecule/promises/tests/breakings.yml").read_text()
)
# Paths and shell commands on the machine: the database's socket, client and dump, MLflow's Python and programs.
SOCKET = "/run/mysqld/mysqld.sock"
SQL_CLIENT = "$(command -v mariadb || command -v mysql)"
DUMP = (
    'dump() { if command -v mariadb-dump >/dev/null; then mariadb-dump --skip-dump-date "$@"; '
    'else mysqldump --skip-dump-date --set-gtid-purged=OFF --column-statistics=0 "$@"; fi; }; dump'
)
SERVER_PYTHON = "/opt/trackbox/mlflow/current/bin/python"
SERVER_PROGRAM = "$(sed -n s/^WorkingDirectory=//p /etc/systemd/system/mlflow.service)"
PROMISES = sorted(name for group in BREAKINGS.values() for name in group)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Makes urllib return a redirect instead of following it."""

    def redirect_request(self, *_: object) -> None:
        """Return None, so that urllib does not follow the redirect."""


@dataclass(frozen=True)
class Answer:
    """The response of a server."""

    status: int
    headers: Message
    body: bytes


@dataclass(frozen=True)
class Machine:
    """An installed machine, as its users reach it over the network."""

    name: str
    secrets: Path
    settings: dict[str, str]

    @property
    def url(self) -> str:
        """The URL of NGINX."""
        return self.settings["MLFLOW_TRACKING_URI"]

    @property
    def address(self) -> str:
        """The IP address."""
        return self.url.removeprefix("https://")

    def secret(self, name: str) -> str:
        """Return a generated secret, by its file's name."""
        return (self.secrets / name).read_text().strip()

    def ask(
        self,
        path: str,
        *,
        user: str = "",
        password: str = "",
        method: str = "GET",
        url: str = "",
        body: Any = None,
        encoding: str = "",
    ) -> Answer:
        """Send a request, with `body` as JSON, to NGINX or to `url`; return the response.

        encoding: value of the header Accept-Encoding.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            (url or self.url) + path, data, {"Content-Type": "application/json"}, method=method
        )
        if encoding:
            request.add_header("Accept-Encoding", encoding)
        if user:
            request.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())
        trust = ssl.create_default_context(cafile=str(self.secrets / "ca.crt"))
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trust), NoRedirect)
        try:
            response: HTTPResponse | urllib.error.HTTPError = opener.open(request, timeout=15)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            return Answer(response.status or 0, response.headers, response.read())

    def wait_for_health(self, wanted: int, seconds: float) -> float:
        """Wait until /healthz returns the status `wanted`; return how many seconds this took."""
        start = time.monotonic()
        while True:
            try:
                if self.ask("/healthz").status == wanted:
                    return time.monotonic() - start
            except OSError:
                pass
            assert time.monotonic() - start < seconds, f"/healthz was not {wanted} within {seconds} s"
            time.sleep(0.5)

    def ansible(self, playbook: str, *options: str) -> tuple[list[str], dict[str, str]]:
        """Return the command and the environment with which a playbook runs on the machine, in the folder ROOT."""
        inventories = [ROOT / "inventory/local"]
        if self.name.startswith("molecule-"):
            folder = ROOT / "molecule"
            inventories = [folder / "inventory", folder / self.name.removeprefix("molecule-") / "inventory.yml"]
        if given := os.environ.get("TRACKBOX_INVENTORY"):
            inventories = [Path(given)]
        command = [str(Path(sys.executable).with_name("ansible-playbook")), playbook, *options]
        command += [f"--inventory={inventory}" for inventory in inventories]
        settings = {"MOLECULE_PROJECT_DIRECTORY": str(ROOT), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        own = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        return command, own | settings

    def play(self, *options: str, playbook: str = "site.yml", status: int = 0, within: Sequence[str] = ()) -> str:
        """Run a playbook on the machine with these options; return its output.

        status: the expected exit code; within: words before Ansible's command, such as `env NAME=VALUE`.
        """
        command, environment = self.ansible(playbook, *options)
        done = subprocess.run(
            [*within, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def promises(
        self, folder: Path, *options: str, status: int = 0, within: Sequence[str] = ()
    ) -> dict[str, dict[str, str]]:
        """Run verify.yml; return each promise's state (held, broken or off) and its detail.

        folder: for the report; status, within: as in `play`.
        """
        report = folder / "report.json"
        options += (f"--extra-vars=verify_report={report}",)
        self.play(*options, playbook="playbooks/verify.yml", status=status, within=within)
        [results] = json.loads(report.read_text()).values()
        return {result["name"]: result for result in results}

    def run_client(self, script: str, *args: str, **other: str) -> str:
        """Run a script of this folder with training/.venv's Python; environment: `make env`'s variables and `other`."""
        return self.run_python(CLIENT, script, *args, **other)

    def run_python(self, python: Path, script: str, *args: str, **other: str) -> str:
        """Run a script of this folder with the given Python; environment: the variables of `make env` and `other`."""
        command = [str(python), str(Path(__file__).parent / script), *args]
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **self.settings, **other}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def changes(output: str) -> list[str]:
    """Return the tasks of a playbook's output that changed something on any host, as `TASK: HOST`."""
    recap = sum(map(int, re.findall(r"\bchanged=(\d+)", output)))
    assert "PLAY RECAP" in output, output
    found, task = [], ""
    for line in re.sub(r"\x1b\[[0-9;]*m", "", output).splitlines():
        if line.startswith(("TASK [", "RUNNING HANDLER [")):
            task = line.partition("[")[2].rpartition("]")[0]
        elif line.startswith("changed: ["):
            found.append(f"{task}: {line.removeprefix('changed: ')}")
    assert bool(found) == bool(recap), output
    return found


def find(name: str, secrets: Path) -> Machine:
    """Return the machine of this name; `secrets` is its folder of secrets."""
    assert (secrets / "env").is_file(), f"{secrets}/env is missing: install first (make up, or molecule converge)"
    lines = shlex.split((secrets / "env").read_text())
    return Machine(name, secrets, dict(word.split("=", 1) for word in lines if "=" in word))


@pytest.fixture(scope="session")
def machine() -> Machine:
    """Return the machine under test."""
    name = os.environ.get("TRACKBOX_VM", "trackbox")
    return find(name, ROOT / ("inventory/local/.secrets" if name == "trackbox" else f".trackbox/{name}/secrets"))


def inside(name: str) -> Host:
    """Return a testinfra host that connects as root by SSH to the machine of this name."""
    found: Host = testinfra.get_host(f"ssh://{name}?ssh_config={ROOT}/.trackbox/ssh_config&controlpersist=300")
    return found


@pytest.fixture(scope="session")
def host(machine: Machine) -> Host:
    """Return a testinfra host that connects as root by SSH to the machine under test."""
    return inside(machine.name)


def run_inside(host: Host, script: Path, *args: str) -> str:
    """Run a script on the machine with MLflow's Python and programs, as root; return the last line of its output."""
    command = f"PYTHONPATH={SERVER_PROGRAM} {SERVER_PYTHON} -c {shlex.quote(script.read_text())} {shlex.join(args)}"
    return str(host.check_output(command)).splitlines()[-1]


def which_boot(host: Host) -> str:
    """Return the boot id of the machine, or "" while SSH cannot connect."""
    try:
        return str(host.run("cat /proc/sys/kernel/random/boot_id").stdout)
    except RuntimeError:  # SSH cannot connect
        return ""


def reboot(machine: Machine, host: Host) -> float:
    """Restart the machine, and wait until /healthz returns 200; return how many seconds this took."""
    before, start = which_boot(host), time.monotonic()
    host.run("systemd-run --on-active=1 --timer-property=AccuracySec=100ms systemctl reboot")
    while which_boot(host) in ("", before):
        assert time.monotonic() - start < 60, "the machine did not reboot"
        time.sleep(1)
    machine.wait_for_health(200, 60)
    return time.monotonic() - start


VIEWER = {"name": "vera", "password": "the password of a viewer", "role": "viewer"}


@pytest.fixture(scope="module")
def viewer(machine: Machine) -> Iterator[dict[str, str]]:
    """Add a viewer with Ansible; remove it after the module, because verify.yml does not expect this user."""
    admin = {"name": "admin", "password": machine.secret("admin_password"), "role": "admin"}
    machine.play("--tags=users", "--extra-vars", json.dumps({"nginx_users": [admin, VIEWER]}))
    yield {"user": VIEWER["name"], "password": VIEWER["password"]}
    machine.play("--tags=users")
    assert machine.ask("/version", user=VIEWER["name"], password=VIEWER["password"]).status == 401
