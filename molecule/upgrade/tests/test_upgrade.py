"""playbooks/upgrade.yml on a machine with a year-old MLflow ends with the new or the old version, and keeps all data.

The tests run in this order. The old MLflow still runs after each test that precedes test_the_upgrade_keeps_all_data.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from machine import ROOT, Machine, changes
from testinfra.host import Host

UPGRADE = "playbooks/upgrade.yml"
OLD = f"--extra-vars=@{ROOT}/molecule/upgrade/vars/old.yml"
OLD_REVISION = "bf29a5ff90ea"
OLD_COLLATION = "utf8mb4_bin"
# A command that prints MySQL's version and the time at which its server was started.
SERVER = "dpkg-query --show mysql-server; systemctl show --property=ActiveEnterTimestamp mysql"
BLOCKER = "mcp_servers"  # a migration creates this table, and fails if it already exists


def client_data(machine: Machine, what: str = "read") -> str:
    """Run client_data.py; return the data that it reads, as JSON. If `what` is `write`, it writes the data first."""
    return machine.run_client("client_data.py", what).splitlines()[-1]


def state(host: Host) -> tuple[str, str, str]:
    """Return MLflow's current environment, the schema revision, and a list of files and tables that upgrades change."""
    revision = host.check_output("mysql -Ne 'SELECT version_num FROM mlflow.alembic_version'")
    files = host.check_output(
        "cd /; ls -d opt/trackbox/mlflow/* var/lib/trackbox/dumps/* 2>/dev/null; "
        "sha256sum opt/trackbox/mlflow/program-*/*/*.py etc/systemd/system/mlflow.*; mysql -Ne 'SHOW TABLES IN mlflow'"
    )
    return host.check_output("readlink /opt/trackbox/mlflow/current"), revision, files


def collations(host: Host) -> set[str]:
    """Return the collations of MLflow's schema, of its tables, and of every column that can be part of a key."""
    query = (
        "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = 'mlflow' "
        "UNION SELECT table_collation FROM information_schema.tables WHERE table_schema = 'mlflow' "
        "UNION SELECT collation_name FROM information_schema.columns "
        "WHERE table_schema = 'mlflow' AND data_type IN ('char', 'varchar')"
    )
    return set(host.check_output("mysql -Ne %s", query).split())


def said(output: str) -> str:
    """Return a playbook's output without line breaks and single quotes."""
    return " ".join(output.replace("'", "").split())


@pytest.fixture(scope="module")
def before(machine: Machine) -> str:
    """Write the data; return them as a client reads them."""
    found = client_data(machine, "write")
    assert found.count("of a year ago") == 31
    assert "model kept@champion" in found
    return found


@contextmanager
def unchanged(machine: Machine, host: Host, before: str) -> Iterator[None]:
    """Check at the end of the block that the machine's state and data are unchanged."""
    was = state(host)
    yield
    assert state(host) == was
    assert host.service("mlflow").is_running
    assert client_data(machine) == before


# A script that repacks the package mysql-server with a later version number of its series, and adds an apt source with
# this package. The source has the same release name, so that the pin of the role applies to it.
NEWER = """
set -e
mkdir -p /srv/newer && cd /srv/newer && chmod 777 .
apt-get download --quiet mysql-server && dpkg-deb -R mysql-server_*.deb x && rm mysql-server_*.deb
sed -i 's/^Version: .*/Version: 9.7.99-1/' x/DEBIAN/control
dpkg-deb -b x newer.deb >/dev/null
sum() { sha256sum "$1" | cut -d' ' -f1; }
dpkg-deb -f newer.deb >Packages
printf 'Filename: ./newer.deb\nSize: %s\nSHA256: %s\n' "$(stat -c %s newer.deb)" "$(sum newer.deb)" >>Packages
printf 'Suite: unstable\nCodename: sid\nSHA256:\n %s %s Packages\n' "$(sum Packages)" "$(stat -c %s Packages)" >Release
echo 'deb [trusted=yes] file:/srv/newer ./' >/etc/apt/sources.list.d/newer.list
"""


@contextmanager
def newer_mysql(host: Host) -> Iterator[None]:
    """Add an apt source with a newer MySQL during the block."""
    host.check_output(NEWER)
    try:
        yield
    finally:
        host.check_output("rm -rf /srv/newer /etc/apt/sources.list.d/newer.list && apt-get update --quiet")


@contextmanager
def probing(machine: Machine) -> Iterator[list[tuple[float, int, float]]]:
    """Send requests to MLflow until the block ends; yield each request's start time, status and duration."""
    answers: list[tuple[float, int, float]] = []
    ended = threading.Event()

    def probe() -> None:
        while not ended.wait(0.2):
            start = time.monotonic()
            try:
                status = machine.ask(
                    "/api/2.0/mlflow/experiments/search?max_results=1",
                    user="admin",
                    password=machine.secret("admin_password"),
                ).status
            except OSError:
                status = 0
            answers.append((start, status, time.monotonic() - start))

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield answers
    finally:
        ended.set()
        thread.join()


def longest_gap(answers: list[tuple[float, int, float]]) -> float:
    """Return the longest time without a successful response, in seconds."""
    good = [start + took for start, status, took in answers if status == 200]
    return max(later - sooner for sooner, later in pairwise(good))


def test_check_mode_prints_the_versions_and_changes_nothing(machine: Machine, host: Host, before: str) -> None:
    with unchanged(machine, host, before):
        output = said(machine.play("--check", playbook=UPGRADE))
    assert re.search(
        r"Would upgrade: MLflow 3\.6\.0 \(schema bf29a5ff90ea\) -> \d+\.\d+\.\d+ \(schema [0-9a-f]{12}\), "
        r"collation utf8mb4_bin -> utf8mb4_0900_bin",
        output,
    )
    assert collations(host) == {OLD_COLLATION}


def test_site_yml_refuses_and_names_the_playbook(machine: Machine, host: Host, before: str) -> None:
    was = state(host)
    output = said(machine.play(status=2))
    assert f"schema has the revision {OLD_REVISION}" in output
    assert "Type ansible-playbook playbooks/upgrade.yml" in output
    assert state(host)[:2] == was[:2]
    assert client_data(machine) == before


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("upgrade_reserve_mb=100000000", "make room or give it a larger disk; nothing was changed"),
        ("upgrade_bakcup=true", "upgrade.yml has no variable upgrade_bakcup"),
        ("mlflow_version=3.5.1", "a downgrade of its database is not possible, and nothing was changed"),
    ],
)
def test_bad_input_is_refused(machine: Machine, host: Host, before: str, option: str, sentence: str) -> None:
    with unchanged(machine, host, before):
        assert sentence in said(machine.play("--extra-vars", option, playbook=UPGRADE, status=2))


@pytest.mark.parametrize(
    ("revision", "sentence"),
    [
        ("0123456789ab", "a newer Trackbox or another program made it"),
        ("451aebb31d03", "it is older than MLflow 3.6.0s"),
    ],
)
def test_a_schema_that_cannot_be_upgraded_is_refused(
    machine: Machine, host: Host, before: str, revision: str, sentence: str
) -> None:
    set_to = "mysql -e \"UPDATE mlflow.alembic_version SET version_num = '{}'\""
    host.check_output(set_to.format(revision))
    try:
        was, server = state(host), host.check_output(SERVER)
        with newer_mysql(host):
            output = said(machine.play(playbook=UPGRADE, status=2))
        assert sentence in output
        # A newer MySQL is pending, too. MySQL cannot be downgraded, so the schema must be checked before MySQL is
        # upgraded.
        assert re.search(r"mysql 9\.7\.\S+ -> 9\.7\.99-1", output)
        assert host.check_output(SERVER) == server
        assert state(host)[:2] == was[:2]
    finally:
        host.check_output(set_to.format(OLD_REVISION))
    assert client_data(machine) == before


def test_two_playbooks_at_once_are_refused(machine: Machine, host: Host, before: str) -> None:
    hold = "flock /run/trackbox.lock sh -c 'systemd-notify --ready; exec sleep 90'"
    host.check_output(
        f"systemd-run --quiet --collect --unit=another-one --service-type=notify -p NotifyAccess=all {hold}"
    )
    try:
        with unchanged(machine, host, before):
            output = said(machine.play(playbook=UPGRADE, status=2))
        assert "is being worked on, and upgrade.yml has changed nothing" in output
    finally:
        host.check_output("systemctl stop another-one")


def test_a_failed_migration_restores_the_old_version_with_all_data(machine: Machine, host: Host, before: str) -> None:
    host.check_output(f"mysql -e 'CREATE TABLE mlflow.{BLOCKER} (x INT)'")
    try:
        was = state(host)
        with probing(machine) as answers:
            output = said(machine.play(playbook=UPGRADE, status=2))
        print(f"away for {longest_gap(answers):.1f} s as a client saw it")
        assert f"Table {BLOCKER} already exists" in output
        assert "the old version 3.6.0 answers again, with its database as it was" in output
        [dump] = set(re.findall(r"its dump is in (/var/lib/trackbox/dumps/\w+)", output))
        assert host.file(dump).mode == 0o700
        assert "-- Dump completed" in host.check_output(f"zcat {dump}/mlflow.sql.gz | tail -n 1")
        # The upgrade may add files: the folder of the dump, and the new environment, which it keeps for the next try.
        now = state(host)
        assert now[:2] == was[:2]
        assert set(was[2].splitlines()) <= set(now[2].splitlines())
        assert client_data(machine) == before
    finally:
        host.check_output(f"mysql -e 'DROP TABLE mlflow.{BLOCKER}'")


def test_a_failed_conversion_restores_the_old_version_with_all_data(machine: Machine, host: Host, before: str) -> None:
    # The key of this table is too long for utf8mb4, so the table's conversion fails. Tables are converted in the order
    # of their names, so all of MLflow's tables are converted before the table zz.
    host.check_output("mysql mlflow -e 'CREATE TABLE zz (x VARCHAR(1000), KEY (x)) CHARACTER SET latin1'")
    keys = "SELECT COUNT(*) FROM information_schema.referential_constraints WHERE constraint_schema = 'mlflow'"
    try:
        was, had = state(host), host.check_output("mysql -Ne %s", keys)
        output = said(machine.play(playbook=UPGRADE, status=2))
        assert "Specified key was too long" in output
        assert "the old version 3.6.0 answers again, with its database as it was" in output
        assert state(host)[:2] == was[:2]
        assert host.check_output("mysql -Ne %s", keys) == had
        assert {name for name in collations(host) if name.startswith("utf8mb4")} == {OLD_COLLATION}
        assert client_data(machine) == before
    finally:
        host.check_output("mysql mlflow -e 'DROP TABLE zz'")


def test_an_upgrade_interrupted_in_the_migration_restores_the_old_version_first(
    machine: Machine, host: Host, before: str
) -> None:
    command, environment = machine.ansible(UPGRADE)
    moved = f"[ \"$(mysql -Ne 'SELECT version_num FROM mlflow.alembic_version')\" != {OLD_REVISION} ]"
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    ) as play:
        try:
            host.check_output("timeout 120 sh -c %s", f"until {moved}; do :; done")
        finally:
            os.killpg(play.pid, signal.SIGKILL)
    host.run("systemctl stop trackbox-migration")
    assert not host.service("mlflow").is_running
    # Repeat the upgrade with the old version as the target. upgrade.yml must first restore the schema of MLflow 3.6.0.
    assert "MLflow 3.6.0" in said(machine.play(OLD, playbook=UPGRADE))
    current, revision, _ = state(host)
    assert current.startswith("3.6.0")
    assert revision == OLD_REVISION
    assert client_data(machine) == before


def test_data_written_after_an_interruption_stay(machine: Machine, host: Host, before: str) -> None:
    # Simulate a power cut between dump and migration, after which MLflow started at boot and a client wrote data.
    dump = host.check_output("ls -t /var/lib/trackbox/dumps | grep -v unfinished | head -1")
    host.check_output(f"ln -sfn {dump} /var/lib/trackbox/dumps/unfinished")
    host.check_output("mysql mlflow -e %s", "INSERT INTO experiment_tags VALUES ('since', 'then', 0)")
    try:
        assert "MLflow 3.6.0" in said(machine.play(OLD, playbook=UPGRADE))
        since = "SELECT value FROM experiment_tags WHERE `key` = 'since'"
        assert host.check_output("mysql mlflow -Ne %s", since) == "then"
        assert not host.file("/var/lib/trackbox/dumps/unfinished").exists
    finally:
        host.check_output("mysql mlflow -e %s", "DELETE FROM experiment_tags WHERE `key` = 'since'")
    assert client_data(machine) == before


def binary(folder: Path, says: str) -> tuple[str, ...]:
    """Create a fake MinIO that prints this release but does not start; return the options that upgrade to it."""
    path = folder / "minio"
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "minio version RELEASE.{says} (x)" && exit 0\nexit 1\n')
    path.chmod(0o755)
    return OLD, "--extra-vars=minio_source=file", f"--extra-vars=minio_file={path}"


@pytest.mark.parametrize(
    ("release", "sentence"),
    [
        ("2020-01-01T00-00-00Z", "a downgrade is refused, and the newer one goes on"),
        ("2099-01-01T00-00-00Z", "answers again."),
    ],
)
def test_a_minio_that_does_not_start_is_replaced_by_the_old_one(
    machine: Machine, host: Host, before: str, tmp_path: Path, release: str, sentence: str
) -> None:
    unit = host.file("/etc/systemd/system/minio.service").content
    output = said(machine.play(*binary(tmp_path, release), playbook=UPGRADE, status=2))
    assert sentence in output
    assert host.file("/etc/systemd/system/minio.service").content == unit
    assert host.service("minio").is_running
    assert client_data(machine) == before


def test_a_newer_minio_is_installed(machine: Machine, host: Host, before: str, tmp_path: Path) -> None:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "trackbox/minio"
    shutil.copy(next(cache.glob("*/minio")), tmp_path / "minio")
    with (tmp_path / "minio").open("ab") as other:
        other.write(b"another one by its checksum")
    options = OLD, "--extra-vars=minio_source=file", f"--extra-vars=minio_file={tmp_path}/minio"
    running = "readlink /proc/$(systemctl show -P MainPID minio)/exe"
    was = host.check_output(running)
    output = said(machine.play(*options, playbook=UPGRADE))
    assert re.search(r"MinIO \S+ \(\w+\) -> \w+: down for at most [0-9.]+ s, in which requests waited", output)
    assert host.check_output(running) != was
    assert client_data(machine) == before


def test_mysql_is_upgraded_within_its_series(machine: Machine, host: Host, before: str) -> None:
    with newer_mysql(host):
        output = said(machine.play(OLD, playbook=UPGRADE))
        assert re.search(r"mysql 9\.7\.\S+ -> 9\.7\.99-1: down for at most [0-9.]+ s; its dump is in", output)
        assert "9.7.99-1" in host.check_output("dpkg-query --show mysql-server")
        [dump] = host.check_output("ls /var/lib/trackbox/dumps/*-mysql/all.sql.gz").split()
        assert "-- Dump completed" in host.check_output(f"zcat {dump} | tail -n 1")
        assert client_data(machine) == before


def test_the_upgrade_keeps_all_data(machine: Machine, host: Host, before: str) -> None:
    with probing(machine) as answers:
        output = said(machine.play(playbook=UPGRADE))
    [away] = re.findall(r"away for ([0-9.]+) s", output)
    slowest = max(took for *_, took in answers)
    seen = longest_gap(answers)
    print(f"unavailable for {away} s by upgrade.yml, {seen:.1f} s by a client; slowest answer: {slowest:.1f} s")
    assert seen < 120
    # While MLflow is stopped, requests are refused at once. Requests wait only while MLflow starts.
    refused = [took for _, status, took in answers if status >= 500]
    assert refused
    assert max(refused) < 5
    current, revision, _ = state(host)
    assert not current.startswith("3.6.0")
    assert revision != OLD_REVISION
    assert collations(host) == {"utf8mb4_0900_bin"}
    assert client_data(machine) == before


def test_a_second_upgrade_changes_nothing(machine: Machine, host: Host, before: str) -> None:
    with unchanged(machine, host, before):
        output = machine.play(playbook=UPGRADE)
    assert "Nothing to upgrade" in output
    assert changes(output) == []


def test_after_the_upgrade_site_yml_changes_the_databases_settings_only(machine: Machine) -> None:
    # The old version was installed with variables that set another collation for new schemas, so site.yml now changes
    # MySQL's settings. If an earlier test interrupted site.yml, the role lifecycle restarts services.
    assert {task.partition(" : ")[0] for task in changes(machine.play())} <= {"mysql", "lifecycle"}
    assert changes(machine.play()) == []


def test_a_downgrade_is_refused(machine: Machine, host: Host, before: str) -> None:
    with unchanged(machine, host, before):
        assert "a downgrade of its database is not possible" in said(machine.play(OLD, playbook=UPGRADE, status=2))
        output = said(machine.play(OLD, status=2))
        assert "a newer Trackbox or another program made it" in output


def test_back_restores_the_old_version_later(machine: Machine, host: Host, before: str) -> None:
    dumps = host.check_output("cd /var/lib/trackbox/dumps; ls -d *Z").split()
    back = f"/var/lib/trackbox/dumps/{dumps[-1]}/back"
    # The command `back` must refuse, because the run of site.yml that failed in an earlier test still holds the lock.
    refused = host.run(back)
    assert refused.rc == 1
    assert re.match(r"Nothing was changed: site.yml of \S+ process \d+ holds the lock of this machine.", refused.stderr)
    host.check_output("systemctl stop trackbox-lock")
    host.check_output(back)
    current, revision, _ = state(host)
    assert current.startswith("3.6.0")
    assert revision == OLD_REVISION
    assert collations(host) == {OLD_COLLATION}
    assert client_data(machine) == before
    # The command `back` removes data that were written after the upgrade, so it must save these data in a dump.
    assert host.check_output(f"find /var/lib/trackbox/dumps/{dumps[-1]} -name 'undone-*.sql.gz' -size +0")
