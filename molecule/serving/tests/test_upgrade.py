"""An upgrade changes serving's packages and program while clients score. A failed upgrade restores both."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from endpoint import Endpoint
from machine import ROOT, Machine, changes
from scoring_clients import Clients
from testinfra.host import Host

UPGRADE = "playbooks/upgrade.yml"
LOCK = (ROOT / "roles/serving/files/requirements.txt").read_text()
# A script that renames serving's program on the machine, as if an older checkout had installed it.
OLDER = """
set -e
cd /opt/trackbox/serving
new=$(ls -d program-*)
cp -a "$new" program-000000000000
mv program-000000000000/"$new" program-000000000000/program-000000000000
sed -i "s/$new/program-000000000000/" /etc/systemd/system/trackbox-serving*
rm -r "$new"
systemctl daemon-reload
systemctl restart 'trackbox-serving@fraud-*.service'
systemctl restart trackbox-serving-follower
"""


def installed(host: Host) -> tuple[str, str]:
    """Return the environment and the program that serving's units name, and all environments and programs on disk."""
    units = "/etc/systemd/system/trackbox-serving*"
    named = host.check_output(f"grep -ohE '(environment|program)-[0-9a-f]+' {units} | sort -u | xargs")
    return named, " ".join(host.check_output("cd /opt/trackbox/serving; ls -d environment-* program-* | sort").split())


def without(package: str) -> str:
    """Return the lock without the lines of a package and of its hashes."""
    kept, skipping = [], False
    for line in LOCK.splitlines(keepends=True):
        skipping = line.startswith(f"{package}==") if not line.startswith(" ") else skipping
        kept += [] if skipping else [line]
    assert len(kept) < len(LOCK.splitlines())
    return "".join(kept)


def lock(folder: Path, text: str) -> str:
    """Write a lock to a file; return Ansible's option that makes serving use this lock."""
    path = folder / "lock.json"
    path.write_text(json.dumps({"serving_requirements": text}))
    return f"--extra-vars=@{path}"


def upgraded(machine: Machine, *options: str, status: int = 0) -> str:
    """Run upgrade.yml; return its output in one line."""
    output = machine.play(*options, "--extra-vars=upgrade_backup=false", playbook=UPGRADE, status=status)
    return " ".join(output.split())


@pytest.fixture
def asked(endpoint: Endpoint, versions: list[str]) -> Iterator[Clients]:
    """Serve the version `versions[1]`, and let clients score with it until the test ends.

    Then check that no request failed, that only this version answered, and that it is still live.
    """
    scores = endpoint.serve(versions[1])
    with Clients(endpoint, {versions[1]: scores}, 2) as clients:
        yield clients
    slowest = max(answer.ms for answer in clients.answers) / 1000
    print(f"{len(clients.answers)} answers, the slowest after {slowest:.1f} s; {len(clients.failures)} failures")
    assert clients.failures == []
    assert {answer.version for answer in clients.answers} == {versions[1]}
    assert endpoint.version() == versions[1]


# Without orjson the program cannot be imported. Without xgboost-cpu the live version cannot be loaded.
@pytest.mark.parametrize(
    ("package", "reason"),
    [("orjson", "No module named 'orjson'"), ("xgboost-cpu", "version {} of fraud does not load with them: ")],
)
def test_packages_with_which_a_version_does_not_load_are_refused_before_the_switch(
    machine: Machine, host: Host, asked: Clients, versions: list[str], tmp_path: Path, package: str, reason: str
) -> None:
    before = installed(host)
    units = f"trackbox-serving@fraud-{versions[1]} trackbox-serving-follower"
    started = host.check_output(f"systemctl show --property=Id,MainPID {units}")
    output = upgraded(machine, lock(tmp_path, without(package)), status=2)
    assert re.search(r"The new packages of serving do not work on \S+, and the old ones go on: ", output)
    assert reason.format(versions[1]) in output
    assert "and type upgrade.yml again" in output
    assert installed(host) == before
    assert host.check_output(f"systemctl show --property=Id,MainPID {units}") == started
    assert not host.file("/var/lib/trackbox/serving-new").exists


# Without uvicorn-worker a version can be loaded, but its server does not start.
def test_after_a_switch_that_fails_the_old_packages_serve_again(
    machine: Machine, host: Host, asked: Clients, versions: list[str], tmp_path: Path
) -> None:
    before = installed(host)
    output = upgraded(machine, lock(tmp_path, without("uvicorn-worker")), status=2)
    assert "was not upgraded: version " in output
    assert "of fraud does not start: ModuleNotFoundError: No module named 'uvicorn_worker'" in output
    assert "the versions run with the old packages again" in output
    assert installed(host) == before
    assert not host.run("ls -d /var/lib/trackbox/serving-* /var/lib/trackbox/upgrading").stdout


def test_packages_and_program_change_and_no_request_fails(
    machine: Machine, host: Host, endpoint: Endpoint, asked: Clients, tmp_path: Path
) -> None:
    new = installed(host)[0].split()[1]
    host.check_output(OLDER)
    before, option = installed(host), lock(tmp_path, f"# later\n{LOCK}")
    said = upgraded(machine, option, "--check")
    assert re.search(r"Would upgrade: packages of serving [0-9a-f]{8} -> [0-9a-f]{8}\b", said)
    assert f"Would upgrade: program of serving 000000000000 -> {new.removeprefix('program-')}" in said
    output = upgraded(machine, option)
    assert "program of serving 000000000000 -> " in output
    assert "requests of a version waited for at most " in output
    named, there = installed(host)
    # The old environment and program have been removed.
    assert named == there
    assert not set(named.split()) & set(before[0].split())
    assert named.split()[1] == new
    assert "Nothing to upgrade" in upgraded(machine, option, "--check")
    # Upgrade back to the checkout's own lock.
    upgraded(machine)
    assert changes(machine.play()) == []
