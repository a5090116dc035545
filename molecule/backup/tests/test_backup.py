"""The steps of docs/backup.md in this order: a backup during writes, failing backups, a restore onto a new machine."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import testinfra
from machine import HOST, ROOT, Machine
from testinfra.host import Host

PYTHON = str(ROOT / "training/.venv/bin/python")
CLIENT = str(ROOT / "tests/machine/client_steady.py")
NEW = ["--extra-vars", json.dumps({"local_vm_name": "molecule-restored", "local_vm_address": "10.83.5.10"})]
OBJECTS = Path(__file__).with_name("object_versions.py").read_text()

PROGRAM = "/opt/trackbox/minio/sdk/bin/python -B -c"
# A program that stores a backup whose manifest has the format of a later Trackbox. With an argument, it deletes this
# backup.
LATER = """
import json, pathlib, sys, tempfile
from trackbox_backup import backup, settings
manifest = {"format": backup.FORMAT + 1, "run": "29991231T235959Z"}
with tempfile.TemporaryDirectory() as folder:
    made = backup.Backup(settings.load(), pathlib.Path(folder))
    made.run = manifest["run"]
    if sys.argv[1:]:
        made.repository.run("forget", made.repository.snapshots(made.run)[0]["id"])
    else:
        made.save(backup.MANIFEST, lambda out: out.write(json.dumps(manifest).encode()), backup.WHOLE)
"""


# A program that counts the snapshots of interrupted backups.
PARTS = """
import pathlib, tempfile
from trackbox_backup import backup, repository, settings
with tempfile.TemporaryDirectory() as folder:
    made = repository.Repository(settings.load(), pathlib.Path(folder))
    whole = {tag for one in made.snapshots(backup.TAG, backup.WHOLE) for tag in one["tags"]}
    print(len([one for one in made.snapshots(backup.TAG) if not whole.issuperset(one["tags"])]))
"""


def incomplete_parts(host: Host) -> int:
    """Return the number of snapshots that belong to no complete backup."""
    return int(host.check_output(f"cd /opt/trackbox/backup && {PROGRAM} {shlex.quote(PARTS)}"))


def objects(host: Host, *arguments: str) -> list[dict[str, Any]]:
    """Return every object version in the bucket `datasets`; with an argument, create some objects first."""
    command = f"cd /opt/trackbox/backup && {PROGRAM} {shlex.join([OBJECTS, *arguments])}"
    found: list[dict[str, Any]] = json.loads(host.check_output(command))
    return found


def client(machine: Machine, *arguments: str, given: str = "") -> Any:
    """Run client_steady.py until it ends; return the JSON in the last line of its output."""
    settings = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **machine.settings}
    command = [PYTHON, CLIENT, *arguments]
    done = subprocess.run(command, env=settings, input=given, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def last(host: Host) -> dict[str, Any]:
    """Return the content of last.json, the status file of the backups."""
    found: dict[str, Any] = json.loads(host.check_output("cat /var/lib/trackbox/backup/last.json"))
    return found


@dataclass
class Story:
    """Data that tests store for later tests."""

    acknowledged: list[str] = field(default_factory=list)
    answers: Any = None
    objects: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture(scope="module")
def story() -> Story:
    """Return the data that the tests share."""
    return Story()


def says(machine: Machine, playbook: str, *options: str, status: int = 2) -> str:
    """Run a playbook; return its output on one line."""
    return " ".join(machine.play(*options, playbook=f"playbooks/{playbook}.yml", status=status).split())


@pytest.fixture
def vault() -> Host:
    """Return the machine with the backup repository."""
    found: Host = testinfra.get_host(f"ssh://molecule-vault?ssh_config={ROOT}/.trackbox/ssh_config")
    return found


def test_a_backup_is_made_while_clients_write(machine: Machine, host: Host, story: Story, tmp_path: Path) -> None:
    story.answers = client(machine, "model")
    story.objects = objects(host, "put")
    settings = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **machine.settings}
    told = tmp_path / "acknowledged"
    with told.open("w") as out, subprocess.Popen([PYTHON, CLIENT, "write", "45"], env=settings, stdout=out) as writer:
        time.sleep(15)
        before = time.time()
        said = machine.play(playbook="playbooks/backup.yml")
        after = time.time()
        assert writer.wait() == 0
    lines = told.read_text().splitlines()
    assert [line for line in lines if '"error"' in line] == []
    assert "is whole and was read back" in " ".join(said.split())
    times = [json.loads(line)["at"] for line in lines]
    story.acknowledged = [line for line, at in zip(lines, times, strict=True) if at < before]
    during = [at for at in times if before <= at <= after]
    print(
        f"{len(story.acknowledged)} acknowledged before, {len(during)} while it ran for {after - before:.1f} s",
        last(host),
    )
    assert min(len(story.acknowledged), len(during)) > 20
    # The backup locks no tables, so no pause of the writers is longer than a few seconds.
    assert max(b - a for a, b in pairwise(during)) < 5
    assert last(host)["missing"] == []


def test_everybody_can_read_the_status_and_it_has_no_secret(machine: Machine, host: Host) -> None:
    for name in ("last.json", "trackbox_backup.prom"):
        assert host.file(f"/var/lib/trackbox/backup/{name}").mode == 0o644
    assert 0 <= time.time() - last(host)["last_success_unix"] < 300
    assert host.file("/etc/trackbox/backup/settings").mode == 0o600
    password = (ROOT / ".trackbox/molecule-vault/backup_password").read_text().strip()
    assert password not in host.check_output(
        "journalctl; systemctl cat trackbox-backup; systemctl show trackbox-backup"
    )


def test_every_promise_is_held_and_an_old_backup_breaks_one(machine: Machine, host: Host, tmp_path: Path) -> None:
    found = machine.promises(tmp_path)
    assert {found[name]["state"] for name in ("backup_scheduled", "backup_young")} == {"held"}
    state = "/var/lib/trackbox/backup/last.json"
    host.check_output(f"cp -p {state} /root/kept; sed -i 's/_unix\": [0-9]*/_unix\": 1700000000/' {state}")
    host.check_output("systemctl stop trackbox-backup.timer")
    try:
        found = machine.promises(tmp_path, "--extra-vars=verify_only=backup_scheduled,backup_young", status=2)
    finally:
        host.check_output(f"mv /root/kept {state}; systemctl start trackbox-backup.timer")
    assert {promise["state"] for promise in found.values()} == {"broken"}


@pytest.mark.parametrize(
    ("playbook", "sentence"),
    [
        ("backup", "backup_target is empty, so a backup has no place"),
        ("restore", "backup_target is empty, so that there is nothing to restore from"),
    ],
)
def test_without_a_target_the_playbook_is_refused(machine: Machine, playbook: str, sentence: str) -> None:
    said = says(machine, playbook, "--extra-vars=backup_target=")
    assert sentence in said
    assert re.search(r"changed=0 .*failed=1", said)


@pytest.mark.parametrize("playbook", ["backup", "restore", "rotate-secrets", "uninstall"])
def test_two_playbooks_at_once_are_refused(machine: Machine, host: Host, playbook: str) -> None:
    hold = "flock /run/trackbox.lock sh -c 'systemd-notify --ready; exec sleep 90'"
    host.check_output(
        f"systemd-run --quiet --collect --unit=another-one --service-type=notify -p NotifyAccess=all {hold}"
    )
    confirmed = ("--extra-vars=rotate=all", f"--extra-vars=uninstall_confirm={HOST}")
    options = {"rotate-secrets": confirmed[:1], "uninstall": confirmed[1:]}.get(playbook, ())
    try:
        said = says(machine, playbook, *options)
    finally:
        host.check_output("systemctl stop another-one")
    assert f"is being worked on, and {playbook}.yml has" in said
    assert re.search(r"changed=0 .*failed=1", said)


def test_an_interrupted_backup_leaves_the_last_good_one(machine: Machine, host: Host) -> None:
    good = last(host)
    # Kill the backup while it stores the objects, when the snapshots of the database and of the settings are complete.
    cut = "until pgrep --full 'stdin-filename objects[.]tar' >/dev/null; do sleep 0.1; done"
    host.check_output("systemctl start --no-block trackbox-backup; timeout 60 sh -c %s", cut)
    host.check_output("systemctl kill --signal=KILL trackbox-backup; sleep 1; systemctl reset-failed trackbox-backup")
    assert incomplete_parts(host) >= 2
    assert last(host)["run"] == good["run"]
    said = machine.play("--check", playbook="playbooks/restore.yml")
    assert f"Would restore the backup {good['run']} of instance." in " ".join(said.split())
    machine.play(playbook="playbooks/backup.yml")
    assert last(host)["run"] > good["run"]
    assert incomplete_parts(host) == 0


# A program that flips a bit in the middle of every large pack file of restic. It changes all packs, because parts of a
# single pack may be unused. A second run restores the packs.
FLIP = """
import pathlib
for path in pathlib.Path("/srv/backup/data").glob("*/*"):
    if path.stat().st_size > 1 << 20:
        path.chmod(0o600)
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            byte = file.read(1)[0]
            file.seek(-1, 1)
            file.write(bytes([byte ^ 1]))
"""


def test_a_flipped_bit_is_detected(machine: Machine, host: Host, vault: Host) -> None:
    good, flip = last(host), shlex.join(["python3", "-c", FLIP])
    host.check_output('sed -i \'s/"read_data": "5%"/"read_data": "100%"/\' /etc/trackbox/backup/settings')
    vault.check_output(flip)
    said = machine.play(playbook="playbooks/backup.yml", status=2)
    vault.check_output(flip)
    assert "The repository sftp:root@10.83.5.6:/srv/backup is damaged" in " ".join(said.split())
    assert "is damaged" in last(host)["error"]
    assert last(host)["last_success"] == good["last_success"]
    machine.play(playbook="playbooks/backup.yml")
    assert last(host)["error"] == ""


def proof(host: Host) -> dict[str, Any]:
    """Return the status of restore tests, after a look that the metrics say the same and that nothing is left."""
    found: dict[str, Any] = json.loads(host.check_output("cat /var/lib/trackbox/backup/proof.json"))
    metrics = host.check_output("cat /var/lib/trackbox/backup/trackbox_proof.prom").splitlines()
    assert f"trackbox_proof_failed {int(bool(found['error']))}" in metrics
    assert f"trackbox_proof_last_success_timestamp_seconds {found['last_success_unix']}" in metrics
    assert host.check_output("mysql -Ne \"SHOW DATABASES LIKE 'trackbox%%'\"") == ""
    left = "ls -d /var/lib/minio/trackbox-proof /var/lib/trackbox/backup/proving 2>/dev/null"
    assert host.run(left).stdout == ""
    return found


def test_a_restore_test_passes_and_names_a_damaged_backup(machine: Machine, host: Host, vault: Host) -> None:
    host.check_output("systemctl start trackbox-backup-proof")
    passed = proof(host)
    assert (passed["error"], passed["run"]) == ("", last(host)["run"])
    print("restore test", passed)
    vault.check_output(flip := shlex.join(["python3", "-c", FLIP]))
    assert host.run("systemctl start trackbox-backup-proof").rc != 0
    vault.check_output(flip)
    failed = proof(host)
    assert re.match(r"The repository \S+ is damaged \(", failed["error"]), failed
    assert failed["last_success"] == passed["last_success"]
    # A test that is killed while its schema is there says so, and leaves nothing.
    tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'trackbox_proof_1'"
    there = f'until [ "$(mysql -Ne "{tables}")" -gt 9 ]; do sleep 0.1; done'
    host.check_output("systemctl start --no-block trackbox-backup-proof; timeout 60 sh -c %s", there)
    host.check_output("systemctl kill --kill-whom=main --signal=KILL trackbox-backup-proof")
    host.check_output("while systemctl is-active trackbox-backup-proof | grep -q ing; do sleep 0.2; done")
    killed = proof(host)
    assert killed["inconclusive"] == "The restore test was killed before its end: it does not count."
    assert killed["error"] == failed["error"]


def test_every_promise_is_held_during_a_restore_test(machine: Machine, host: Host, tmp_path: Path) -> None:
    host.check_output("systemctl start --no-block trackbox-backup-proof")
    host.check_output("timeout 60 sh -c 'until [ -e /var/lib/minio/trackbox-proof ]; do sleep 0.1; done'")
    # The test waits with its bucket.
    host.check_output("systemctl kill --kill-whom=main --signal=STOP trackbox-backup-proof")
    try:
        found = machine.promises(tmp_path, "--extra-vars=verify_only=minio_buckets,backup_scheduled")
    finally:
        host.check_output("systemctl kill --kill-whom=main --signal=CONT trackbox-backup-proof")
    assert {promise["state"] for promise in found.values()} == {"held"}
    host.check_output("while systemctl is-active trackbox-backup-proof | grep -q ing; do sleep 0.2; done")
    assert proof(host)["error"] == ""


def test_a_full_target_is_reported_and_the_last_good_backup_stays(machine: Machine, host: Host, vault: Host) -> None:
    good = last(host)
    # Move the repository to a file system that is nearly full.
    vault.check_output(
        "mkdir /srv/all && mv /srv/backup/* /srv/all && "
        "mount -t tmpfs -o size=$(($(du -sm /srv/all | cut -f1) + 20))m tmpfs /srv/backup && "
        "cp -a /srv/all/* /srv/backup"
    )
    admin = {"user": "admin", "password": machine.secret("admin_password")}
    path = "/api/2.0/mlflow-artifacts/artifacts/0/full.txt"
    assert machine.ask(path, method="PUT", body=secrets.token_hex(40 << 20), **admin).status == 200
    try:
        said = says(machine, "backup")
        assert "The target sftp:root@10.83.5.6:/srv/backup is full: make room there" in said
        assert "is full" in last(host)["error"]
        assert last(host)["last_success"] == good["last_success"]
        assert f"Would restore the backup {good['run']}" in says(machine, "restore", "--check", status=0)
    finally:
        vault.check_output("umount /srv/backup && mv /srv/all/* /srv/backup && rmdir /srv/all")
    assert machine.ask(path, method="DELETE", **admin).status == 200
    says(machine, "backup", status=0)
    assert last(host)["error"] == ""


def test_another_password_is_refused_with_a_sentence(machine: Machine, host: Host) -> None:
    host.check_output(
        'cp -p /etc/trackbox/backup/settings /root/kept; sed -i \'s/"password": "/&x/\' /etc/trackbox/backup/settings'
    )
    said = " ".join(machine.play(playbook="playbooks/backup.yml", status=2).split())
    host.check_output("mv /root/kept /etc/trackbox/backup/settings")
    assert "backup_password is not the password of the repository sftp:root@10.83.5.6:/srv/backup: set it" in said
    assert re.search(r"changed=0 .*failed=1", said)


def test_a_backup_of_a_newer_trackbox_is_refused_with_a_sentence(machine: Machine, host: Host) -> None:
    host.check_output(f"cd /opt/trackbox/backup && {PROGRAM} {shlex.quote(LATER)}")
    said = " ".join(machine.play(playbook="playbooks/restore.yml", status=2).split())
    host.check_output(f"cd /opt/trackbox/backup && {PROGRAM} {shlex.quote(LATER)} forget")
    assert "The backup 29991231T235959Z has the format 2, and this Trackbox reads 1: restore it by the Trackbox" in said
    assert re.search(r"changed=0 .*failed=1", said)


def test_a_bucket_on_another_machine_can_be_the_target(machine: Machine, host: Host, vault: Host) -> None:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "trackbox/minio"
    shutil.copy(next(cache.glob("*/minio")), ROOT / ".trackbox/molecule-vault/rootfs/usr/local/bin/minio")
    vault.check_output(
        "systemd-run --quiet --unit=elsewhere -E MINIO_ROOT_USER=elsewhere -E MINIO_ROOT_PASSWORD=elsewhere-password "
        "minio server /srv/elsewhere"
    )
    given = {"backup_target": "s3:http://10.83.5.6:9000/backups", "backup_s3_access_key": "elsewhere"}
    secret = {"backup_s3_secret_key": "elsewhere-password"}
    before = last(host)["run"]
    machine.play("--extra-vars", json.dumps(given | {"backup_s3_secret_key": "another"}))
    assert f"The target {given['backup_target']} refuses this machine's login" in says(
        machine, "backup", "--extra-vars", json.dumps(given)
    )
    machine.play("--extra-vars", json.dumps(given | secret))
    assert "is whole and was read back" in says(machine, "backup", "--extra-vars", json.dumps(given), status=0)
    assert last(host)["run"] > before
    said = says(machine, "restore", "--check", "--extra-vars", json.dumps(given), status=0)
    assert f"Would restore the backup {last(host)['run']}" in said


def test_the_timer_is_removed_without_a_target_and_added_again_with_one(machine: Machine, host: Host) -> None:
    made = "ls -d /etc/systemd/system/trackbox-backup* /etc/trackbox/backup /var/lib/trackbox/backup 2>/dev/null"
    machine.play("--extra-vars=backup_proof_schedule=")
    assert "proof" not in host.run(made).stdout
    assert host.service("trackbox-backup.timer").is_running
    machine.play("--extra-vars=backup_target=")
    assert host.run(made).stdout == ""
    machine.play()
    assert host.service("trackbox-backup.timer").is_running
    assert host.service("trackbox-backup-proof.timer").is_running


def test_acknowledged_writes_are_restored_after_the_loss_of_the_machine(machine: Machine, story: Story) -> None:
    machine.play("--extra-vars", "local_vm_state=absent", playbook="playbooks/local-vm.yml")
    assert not (ROOT / ".trackbox/molecule-backup").exists()
    machine.play(*NEW, playbook="playbooks/local-vm.yml")
    machine.play(*NEW)
    assert "type restore.yml first" in says(machine, "backup", *NEW)
    start = time.monotonic()
    said = " ".join(machine.play(*NEW, playbook="playbooks/restore.yml").split())
    took = time.monotonic() - start
    proved = re.search(r"holds the backup \S+ .* by their SHA-256, .* aliases\.", said)
    assert proved, said
    assert re.search(r"\(version \d+\) was loaded, and (scored \d+ rows|has no example)", said), said
    print(f"restored in {took:.1f} s: {proved[0]}")
    folder = ROOT / ".trackbox/molecule-restored/secrets"
    lines = shlex.split((folder / "env").read_text())
    restored = Machine("molecule-restored", folder, dict(word.split("=", 1) for word in lines if "=" in word))
    found = client(restored, "check", given="\n".join(story.acknowledged))
    assert (found["held"], found["lost"]) == (len(story.acknowledged), [])
    assert client(restored, "score") == story.answers
    host = testinfra.get_host(f"ssh://molecule-restored?ssh_config={ROOT}/.trackbox/ssh_config")
    assert objects(host) == story.objects
    # A second restore replaces data, so it needs a confirmation.
    admin = {"user": "admin", "password": restored.secret("admin_password"), "method": "POST"}
    later = {"name": "after the backup"}
    assert restored.ask("/api/2.0/mlflow/experiments/create", body=later, **admin).status == 200
    assert f"confirm it by -e restore_confirm={HOST}." in says(machine, "restore", *NEW)
    assert restored.ask("/healthz").status == 200
    assert restored.ask("/api/2.0/mlflow/experiments/create", body=later, **admin).status == 400
    # Simulate a restore that failed while it wrote the database. backup.yml must then refuse, and a second restore must
    # succeed.
    host.check_output("mysql mlflow -Ne 'SELECT version_num FROM alembic_version' >/var/lib/trackbox/half-restored")
    host.check_output("mysql mlflow -e 'SET foreign_key_checks = 0; DROP TABLE runs'")
    assert "A restore onto this machine did not end" in says(machine, "backup", *NEW)
    assert "holds the backup" in says(machine, "restore", *NEW, f"--extra-vars=restore_confirm={HOST}", status=0)
    assert client(restored, "check", given="\n".join(story.acknowledged)) == found
    assert restored.ask("/api/2.0/mlflow/experiments/create", body=later, **admin).status == 200
