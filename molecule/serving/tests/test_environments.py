"""The machine's units install a version's own packages, and serve the version with them. Each unit is confined."""

from __future__ import annotations

import json
import math

import pytest
from endpoint import Endpoint, alias, tag, until
from machine import Machine
from testinfra.host import Host

BODY = {"dataframe_split": {"columns": ["a", "b"], "data": [[0.0, 1.0], [3.0, 0.0]]}}
ROOT = "/var/lib/trackbox-serving-environments"
STATE = "/var/lib/trackbox-serving"
BUILDER = "trackbox-serving-environments.service"
# Timeout in seconds for the installation of packages on a busy machine.
INSTALLED = 600
# The highest exposures that systemd-analyze security may report: for a unit with network access, and for one without.
EXPOSED, CONFINED = 1.2, 1.0
# Shell commands that must fail in the unit that installs packages.
FORBIDDEN = (
    f"ls {STATE}/models",
    f"cat {STATE}/status.json",
    f"touch {STATE}/environments/x",
    "ls /etc/trackbox",
    "ls /var/lib/mysql",
    "ls /var/lib/minio",
    "ls /run/trackbox-serving",
    "ls /root",
    "touch /opt/trackbox/x",
    "touch /etc/x",
    "cat /etc/shadow",
    "unshare --user true",
)


@pytest.fixture(scope="module")
def rules(machine: Machine, host: Host) -> Endpoint:
    """Serve a version of `rules` with the default environment's packages."""
    endpoint = Endpoint(machine, "admin", machine.secret("admin_password"), BODY, "rules")
    number = registered(machine, host, "good:1")
    endpoint.wait(number, 180)
    return endpoint


def registered(machine: Machine, host: Host, kind: str) -> str:
    """Register a version of `rules`, and point the alias at it; return its number."""
    python = host.check_output("python3 -c 'import platform; print(platform.python_version())'")
    found: dict[str, str] = json.loads(machine.run_client("client_versions.py", "rules", python, kind).splitlines()[-1])
    alias(machine, found[kind], "live", "rules")
    return found[kind]


def exposure(host: Host, unit: str) -> float:
    """Return the exposure of a unit, as systemd-analyze security rates it."""
    return float(host.check_output(f"systemd-analyze security --no-pager {unit} | tail -1").split(": ")[1].split()[0])


def status(host: Host) -> dict[str, object]:
    """Return the follower's status of `rules`."""
    found: dict[str, object] = json.loads(host.check_output(f"cat {STATE}/status.json"))["models"]["rules"]
    return found


def test_a_version_gets_the_packages_that_it_needs_and_the_old_one_serves_meanwhile(
    machine: Machine, host: Host, rules: Endpoint
) -> None:
    before = rules.version()
    number = registered(machine, host, "older-library")
    until(lambda: tag(machine, number, "rules").startswith("prepares its packages since "), 60, "it does not say so")
    until(lambda: f"The packages of version {number} are prepared." in rules.ask("").body.decode(), 30, "no page")
    assert rules.version() == before
    print(f"packages were there and the version answered after {rules.wait(number, INSTALLED):.0f} s")
    assert rules.score()[1] == [
        pytest.approx([1 - score, score]) for score in (1 / (1 + math.exp(-(a - 1.5))) for a in (0.0, 3.0))
    ]
    unit = f"trackbox-serving@rules-{number}.service"
    process = host.check_output(f"systemctl show --property=MainPID --value {unit}")
    program = host.check_output(f"tr '\\0' '\\n' </proc/{process}/cmdline | head -1")
    assert program.startswith(f"{ROOT}/")
    folder = program.removesuffix("/bin/python")
    assert host.run(f"ls -d {folder}/lib/python3*/site-packages/scikit_learn-1.8.0.dist-info").rc == 0
    # Only the installer's user may change environments. They are read-only for the version's process.
    assert host.check_output(f"find {ROOT} ! -user serving-environments -o -perm /022 ! -type l") == ""
    assert host.run(f"nsenter --target {process} --mount touch {ROOT}/x").rc != 0
    ratings = exposure(host, unit), exposure(host, BUILDER)
    print(f"systemd-analyze security: version {ratings[0]}, {BUILDER} {ratings[1]}")
    assert ratings[0] <= CONFINED
    assert ratings[1] <= EXPOSED
    # The installer has ended, and has removed its temporary files.
    assert host.run(f"systemctl is-active {BUILDER}").stdout.strip() == "inactive"
    assert sorted(host.check_output(f"ls -A {ROOT}").split()) == sorted([folder.removeprefix(f"{ROOT}/"), "results"])


def test_the_installer_reaches_nothing_but_its_folder_and_the_network(host: Host, rules: Endpoint) -> None:
    probe = "/run/systemd/system/trackbox-probe.service"
    tries = "; ".join(f"{command} >/dev/null 2>&1 && echo could {command}" for command in FORBIDDEN)
    host.check_output(
        "sed %s /etc/systemd/system/%s >%s", "s|^ExecStart=.*|ExecStart=/bin/sh /run/probe|", BUILDER, probe
    )
    try:
        host.check_output("printf '%%s\\n' %s >/run/probe; chmod 644 /run/probe", f"{tries}; echo tried; true")
        host.check_output("systemctl daemon-reload; systemctl start trackbox-probe")
        said = host.check_output("journalctl --sync; journalctl --unit=trackbox-probe --output=cat --no-pager")
        assert "tried" in said
        assert "could" not in said
    finally:
        host.check_output(f"rm -f {probe} /run/probe; systemctl daemon-reload")


def test_without_its_environment_a_version_waits_until_it_is_made_again(
    machine: Machine, host: Host, rules: Endpoint
) -> None:
    """Environments are missing after a restore on another machine, because a backup does not contain them."""
    live = rules.version()
    host.check_output(f"systemctl stop trackbox-serving-follower 'trackbox-serving@rules-{live}.service'")
    host.check_output(f"rm -r {ROOT}/*")
    host.check_output("systemctl start trackbox-serving-follower")
    until(lambda: status(host)["preparing"] == live, 60, "it is not prepared")
    rules.wait(live, INSTALLED)
    until(lambda: not status(host)["preparing"], 30, "it is still prepared")


def test_packages_that_cannot_be_installed_are_a_reason_to_refuse(
    machine: Machine, host: Host, rules: Endpoint
) -> None:
    live = rules.version()
    number = registered(machine, host, "other-version")
    until(lambda: tag(machine, number, "rules").startswith("refused: "), 120, "it is not refused")
    assert "cannot be installed: Because scikit-learn==0.24.1 has no usable wheels" in tag(machine, number, "rules")
    assert rules.version() == live
    alias(machine, live, "live", "rules")
