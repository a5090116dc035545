"""After a playbook was killed, each other playbook works, or refuses and names the playbook that must run first."""

from __future__ import annotations

import json
import secrets
import signal
import threading
from pathlib import Path

import pytest
from interrupted_playbooks import ARTIFACTS, check_intact, kill, options, path_of, said
from machine import HOST, Machine, changes
from testinfra.host import Host

BEFORE = "/opt/trackbox/minio/minio.service.before"
# For each playbook, a command that runs on the machine. As soon as the command succeeds, the test kills the playbook.
MOMENTS = {
    "site.yml": "systemctl is-active --quiet trackbox-lock",
    "backup.yml": "systemctl show -P ActiveState trackbox-backup | grep -q activating",
    # This command also pauses the restore's systemd unit with SIGSTOP. The test stops the unit later.
    "restore.yml": "[ -e /var/lib/trackbox/half-restored ] && systemctl kill --signal=STOP trackbox-restore",
    "upgrade.yml": "[ -e $OLD ] && ! cmp -s $OLD /etc/systemd/system/minio.service".replace("$OLD", BEFORE),
    "rotate-secrets.yml": "grep -q mlflow-next /etc/trackbox/mlflow/aws",
    "uninstall.yml": "systemctl is-active --quiet ssh",
    "garbage.yml": "systemctl show -P ActiveState trackbox-gc@collect | grep -q activating",
}
WORKING = "systemctl show -P ActiveState trackbox-backup trackbox-gc@collect | grep -q activating"
RESTORE = f"type ansible-playbook playbooks/restore.yml -e restore_confirm={HOST} again"
UPGRADE = "type ansible-playbook playbooks/upgrade.yml again"
ROTATE = "type ansible-playbook playbooks/rotate-secrets.yml -e rotate=mlflow_s3_secret again"
CHANGING = ["site.yml", "backup.yml", "rotate-secrets.yml", "uninstall.yml", "garbage.yml", "train.yml"]
ROTATION_FIRST = ["site.yml", "restore.yml", "upgrade.yml"]
# For each killed playbook: the playbooks that run after it, with the expected error message, or "" if they work.
AFTERWARDS: dict[str, dict[str, str]] = {
    "site.yml": {"backup.yml": "", "site.yml": ""},
    "backup.yml": {"site.yml": "", "garbage.yml": ""},
    "restore.yml": dict.fromkeys([*CHANGING, "upgrade.yml"], RESTORE),
    "upgrade.yml": dict.fromkeys([*CHANGING, "restore.yml"], UPGRADE),
    "rotate-secrets.yml": {**dict.fromkeys(ROTATION_FIRST, ROTATE), "backup.yml": "", "rotate-secrets.yml": ""},
    "uninstall.yml": {"backup.yml": "", "site.yml": ""},
    "garbage.yml": {"garbage.yml": "", "backup.yml": ""},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for files that tests pass to playbooks, such as another binary of MinIO."""
    return tmp_path_factory.mktemp("states")


@pytest.fixture(scope="module")
def work(machine: Machine, folder: Path) -> bytes:
    """Write an artifact, and back it up; return its content."""
    admin = {"user": "admin", "password": machine.secret("admin_password")}
    content = json.dumps(secrets.token_hex(4 << 20))
    assert machine.ask(f"{ARTIFACTS}/before.bin", method="PUT", body=json.loads(content), **admin).status == 200
    machine.play(playbook="playbooks/backup.yml")
    return content.encode()


def refused_by_its_unit(machine: Machine, playbook: str, given: list[str]) -> None:
    """Check that a playbook refuses to run while a killed restore's unit runs, and names the unit and a remedy."""
    output = said(machine.play(*given, playbook=path_of(playbook), status=2))
    assert "has ended, and its unit trackbox-restore still runs there, since" in output
    assert "or type there: systemctl stop trackbox-restore. Then type restore.yml again." in output
    assert changes(output) == []


@pytest.mark.parametrize("killed", AFTERWARDS)
def test_after_a_killed_playbook_another_one_works_or_names_the_remedy(
    machine: Machine, host: Host, folder: Path, work: bytes, killed: str
) -> None:
    kill(machine, host, killed, options(killed, folder), MOMENTS[killed])
    if killed == "restore.yml":
        refused_by_its_unit(machine, "site.yml", [])
        host.check_output("systemctl stop trackbox-restore")
    for playbook, sentence in AFTERWARDS[killed].items():
        if not sentence:
            # The systemd unit of the killed playbook still runs. Wait until it ends, because it holds the lock.
            host.check_output(f"timeout 300 sh -c 'while {WORKING}; do sleep 0.5; done'")
        output = said(machine.play(*options(playbook, folder), playbook=path_of(playbook), status=2 if sentence else 0))
        if sentence:
            assert sentence in output
            assert changes(output) == []
            assert machine.secret("mlflow_s3_secret")
    given = options(killed, folder)
    machine.play(*given, playbook=path_of(killed))
    check_intact(machine, folder, work, *(given if killed == "upgrade.yml" else ()))
    if killed == "upgrade.yml":
        # Replace the test's binary of MinIO by the original one.
        machine.play("--extra-vars=upgrade_backup=false", playbook="playbooks/upgrade.yml")


def test_a_repeated_rotation_fails_no_request_while_mlflow_uses_its_second_user(
    machine: Machine, host: Host, folder: Path, work: bytes
) -> None:
    given = options("rotate-secrets.yml", folder)
    # Kill the playbook when MLflow uses the second S3 user and the controller has stored the user's key. The repeated
    # rotation then creates a new key.
    started = '$(date -d "$(systemctl show -P ActiveEnterTimestamp mlflow)" +%s)'
    moment = f"{MOMENTS['rotate-secrets.yml']} && [ {started} -ge $(stat -c %Y /etc/trackbox/mlflow/aws) ]"
    kill(machine, host, "rotate-secrets.yml", given, moment, gone=machine.secrets / "mlflow_s3_secret.new")
    for playbook in ROTATION_FIRST:
        # The controller has no file NAME.new, so the playbooks must detect the interrupted rotation by a file on the
        # machine.
        output = said(machine.play(*options(playbook, folder), playbook=path_of(playbook), status=2))
        assert ROTATE in output
        assert changes(output) == []
    admin = {"user": "admin", "password": machine.secret("admin_password")}
    answers, ended = [], threading.Event()

    def ask() -> None:
        while not ended.wait(0.1):
            answers.append(machine.ask(f"{ARTIFACTS}/before.bin", **admin).status)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        machine.play(*given, playbook="playbooks/rotate-secrets.yml")
    finally:
        ended.set()
        thread.join()
    assert len(answers) > 10
    assert set(answers) == {200}
    check_intact(machine, folder, work)


def test_settings_written_by_a_killed_site_yml_are_applied_by_the_next_run(
    machine: Machine, host: Host, folder: Path, work: bytes
) -> None:
    given = ["--extra-vars=nginx_hsts_seconds=4711"]
    kill(machine, host, "site.yml", given, "grep -q max-age=4711 /etc/nginx/nginx.conf")
    assert machine.ask("/healthz").headers["Strict-Transport-Security"] != "max-age=4711"
    machine.play(*given)
    assert machine.ask("/healthz").headers["Strict-Transport-Security"] == "max-age=4711"
    machine.play()
    check_intact(machine, folder, work)


def test_after_ctrl_c_the_restore_ends_on_the_machine_and_a_repetition_opens_the_door(
    machine: Machine, host: Host, folder: Path, work: bytes
) -> None:
    given = options("restore.yml", folder)
    kill(machine, host, "restore.yml", given, MOMENTS["restore.yml"], signal.SIGINT)
    refused_by_its_unit(machine, "restore.yml", given)
    host.check_output("systemctl kill --signal=CONT trackbox-restore")
    host.check_output("timeout 300 sh -c %s", "while systemctl is-active --quiet trackbox-restore; do sleep 1; done")
    assert RESTORE in said(machine.play(status=2))
    machine.play(*given, playbook="playbooks/restore.yml")
    check_intact(machine, folder, work)


def test_a_backup_that_waits_in_vain_names_the_lock_and_its_remedy(machine: Machine, host: Host) -> None:
    hold = "flock /run/trackbox.lock sh -c 'systemd-notify --ready; exec sleep 90'"
    host.check_output(
        "systemd-run --quiet --collect --unit=trackbox-lock --description='restore.yml of elsewhere process 1' "
        f"--service-type=notify -p NotifyAccess=all {hold}"
    )
    unit = "/run/systemd/system/trackbox-backup.service.d"
    host.check_output(
        f"mkdir {unit}; (echo [Service]; echo ExecStart=; sed -n 's/^\\(ExecStart=.* backup\\) .*/\\1 1/p' "
        f"/etc/systemd/system/trackbox-backup.service) >{unit}/short.conf; systemctl daemon-reload"
    )
    try:
        assert host.run("systemctl start trackbox-backup").rc != 0
        error = json.loads(host.file("/var/lib/trackbox/backup/last.json").content_string)["error"]
        assert error.startswith(
            "Nothing was backed up, for the lock of this machine was not free: restore.yml of elsewhere"
        )
        assert error.endswith("type on this machine: systemctl stop trackbox-lock.")
        output = said(machine.play(status=2))
        assert "restore.yml of elsewhere process 1 holds the lock, since" in output
        assert changes(output) == []
    finally:
        host.check_output(
            f"systemctl stop trackbox-lock; rm -r {unit}; systemctl daemon-reload; systemctl reset-failed"
        )
    machine.play(playbook="playbooks/backup.yml")
