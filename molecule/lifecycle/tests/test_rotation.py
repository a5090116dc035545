"""playbooks/rotate-secrets.yml revokes the old secrets. Requests with secrets that are not rotated never fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import ROOT, Machine
from testinfra.host import Host

PLAYBOOK = "playbooks/rotate-secrets.yml"
STATUS = "cat /var/lib/trackbox-serving/status.json"
SECRETS = [
    "admin_password",
    "training_password",
    "serving_password",
    "training_s3_secret",
    "serving_s3_secret",
    "mlflow_s3_secret",
    "minio_root_password",
    "mlflow_encryption_passphrase",
    "nginx_salt",
]
RIGHT = [200] * 3 + ["ok"] * 4
LOAD = {"name": "load", "password": "the password of the load"}


@pytest.fixture(scope="module")
def settings(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Add a user of NGINX and a user of S3 with given secrets; yield the file of variables that defines them."""
    file = tmp_path_factory.mktemp("settings") / "users.json"
    admin = {"name": "admin", "password": "{{ trackbox_admin_password }}", "role": "admin"}
    s3 = {"name": LOAD["name"], "secret": LOAD["password"], "write": ["datasets"]}
    file.write_text(json.dumps({"nginx_users": [admin, {**LOAD, "role": "admin"}], "minio_users": [s3]}))
    machine.play("--tags=users", f"--extra-vars=@{file}")
    yield file
    machine.play("--tags=users")


def values(machine: Machine) -> dict[str, str]:
    """Return the current secrets."""
    return {name: machine.secret(name) for name in SECRETS}


def answers(machine: Machine, secrets: dict[str, str]) -> list[object]:
    """Log in with these secrets; return the results: three users of NGINX, three users of S3, and MinIO's root user."""
    found: list[object] = []
    for user in ("admin", "training", "serving"):
        name = f"{user}_password"
        found.append(machine.ask("/version", user=user, password=secrets[name]).status)
    for user, name, call in (
        (machine.settings["AWS_ACCESS_KEY_ID"], "training_s3_secret", "list_objects_v2 Bucket=datasets"),
        ("serving", "serving_s3_secret", "list_objects_v2 Bucket=inference"),
        ("mlflow", "mlflow_s3_secret", "list_objects_v2 Bucket=mlflow"),
        ("trackbox-root", "minio_root_password", "list_buckets"),
    ):
        found.append(json.loads(machine.run_client("client_s3.py", user, secrets[name], call))[0])
    return found


def test_a_rotation_of_all_secrets_fails_no_request_and_revokes_the_old_ones(
    machine: Machine, host: Host, settings: Path, tmp_path: Path
) -> None:
    # Create the credentials file of a second training package, as the role training does for another training_command.
    host.check_output("cd /etc/trackbox/training; sed s/fraud/other/g fraud.env >other.env")
    before = values(machine)
    assert answers(machine, before) == RIGHT
    stop = tmp_path / "stop"
    login = {"MLFLOW_TRACKING_USERNAME": LOAD["name"], "MLFLOW_TRACKING_PASSWORD": LOAD["password"]}
    keys = {"AWS_ACCESS_KEY_ID": LOAD["name"], "AWS_SECRET_ACCESS_KEY": LOAD["password"]}
    environment = {"PATH": os.environ["PATH"], **machine.settings, **login, **keys}
    command = [str(path) for path in (ROOT / "training/.venv/bin/python", ROOT / "bench/load.py", stop)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as load:
        try:
            time.sleep(5)
            machine.play(f"--extra-vars=@{settings}", "--extra-vars=rotate=all", playbook=PLAYBOOK)
            time.sleep(5)
        finally:
            stop.touch()
        assert load.stdout is not None
        came = json.loads(load.stdout.read())
    print(f"{came['done']} requests, {len(came['failures'])} failed; the slowest, ms: {came['slowest_ms']}")
    assert came["failures"] == []
    assert all(number > 100 for number in came["done"].values()), came
    after = values(machine)
    assert [name for name in SECRETS if before[name] == after[name]] == []
    assert answers(machine, after) == RIGHT
    refused = "SignatureDoesNotMatch"
    assert answers(machine, before) == [401] * 3 + [refused] * 4
    # The follower of served models queries MLflow every 3 s. With the old password, its status would show an error 401.
    time.sleep(10)
    assert "MLflow answers" not in host.check_output(STATUS)
    theirs = host.check_output(
        "cd /etc/trackbox/training; grep -hE 'PASSWORD=|SECRET' fraud.env other.env; rm other.env"
    )
    assert len({*theirs.splitlines()}) == 2


@pytest.mark.parametrize("seconds", [6, 14, 24])
def test_an_interrupted_rotation_can_be_repeated(machine: Machine, host: Host, settings: Path, seconds: int) -> None:
    before = values(machine)
    command, environment = machine.ansible(PLAYBOOK, "--extra-vars=rotate=all", f"--extra-vars=@{settings}")
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, start_new_session=True) as run:
        time.sleep(seconds)
        assert run.poll() is None, "the rotation ended before the interruption"
        os.killpg(run.pid, signal.SIGKILL)
    machine.play(f"--extra-vars=@{settings}", "--extra-vars=rotate=all", playbook=PLAYBOOK)
    machine.wait_for_health(200, 60)
    after = values(machine)
    assert [name for name in SECRETS if before[name] == after[name]] == []
    assert answers(machine, after) == RIGHT
    assert list(machine.secrets.glob("*.new")) == []


def test_after_a_rotation_site_yml_changes_nothing_and_every_promise_is_held(
    machine: Machine, settings: Path, tmp_path: Path
) -> None:
    assert "changed=0 " in machine.play(f"--extra-vars=@{settings}")
    promises = machine.promises(tmp_path, f"--extra-vars=@{settings}")
    assert [name for name, promise in promises.items() if promise["state"] == "broken"] == []


def test_rotating_one_secret_keeps_the_others(machine: Machine, settings: Path) -> None:
    before = values(machine)
    machine.play(f"--extra-vars=@{settings}", "--extra-vars=rotate=admin_password", playbook=PLAYBOOK)
    after = values(machine)
    assert [name for name in SECRETS if before[name] != after[name]] == ["admin_password"]
    assert answers(machine, after)[0] == 200
