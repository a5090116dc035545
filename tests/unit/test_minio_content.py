"""The module `minio_content` with a real MinIO, whose binary is in the cache of the build."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

MODULE = Path(__file__).parents[2] / "plugins/modules/minio_content.py"
SDK = Path(__file__).parents[2] / "roles/minio/files/sdk.txt"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trackbox"
ROOT = {"root_user": "root", "root_password": "the password of root"}
DATASETS = {"name": "datasets", "versioned": True}
ADA: dict[str, Any] = {"name": "ada", "secret": "the secret of ada", "read": ["datasets"], "write": ["mlflow"]}

# A program that reads a list of calls (user, secret, method, bucket). It prints the S3 result of each call: `ok` or an
# error code.
CLIENT = """
import io, json, sys
from minio import Minio
from minio.error import S3Error
METHODS = {
    "read": lambda s3, bucket: s3.get_object(bucket_name=bucket, object_name="there").read() and "ok",
    "write": lambda s3, bucket: s3.put_object(bucket, "there", io.BytesIO(b"x"), 1) and "ok",
    "remove": lambda s3, bucket: s3.remove_object(bucket_name=bucket, object_name="there") or "ok",
    "drop": lambda s3, bucket: s3.remove_bucket(bucket_name=bucket) or "ok",
    "widen": lambda s3, bucket: widen(bucket) or "ok",
    "rules": lambda s3, bucket: " ".join(sorted(rule.rule_id for rule in s3.get_bucket_lifecycle(bucket).rules)),
    "add-rule": lambda s3, bucket: add_rule(s3, bucket) or "ok",
    "versioning": lambda s3, bucket: s3.get_bucket_versioning(bucket_name=bucket).status,
}
def add_rule(s3, bucket):
    from minio.commonconfig import Filter
    from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule
    config = s3.get_bucket_lifecycle(bucket)
    own = Rule("Enabled", rule_filter=Filter(prefix="scratch/"), rule_id="own", expiration=Expiration(days=3))
    s3.set_bucket_lifecycle(bucket, LifecycleConfig([*config.rules, own]))
def widen(name):
    from minio import MinioAdmin
    from minio.credentials import StaticProvider
    root = StaticProvider("root", "the password of root")
    admin = MinioAdmin(endpoint=sys.argv[1], credentials=root, secure=False)
    admin.user_add(access_key="mallory", secret_key="the secret of mallory")
    admin.policy_set(policy_name="readwrite", user="mallory")
    admin.group_add(group_name="everything", members=[name])
    admin.policy_set(policy_name="readwrite", group="everything")
    admin.policy_set(policy_name="readwrite", user=name)
    admin.user_disable(access_key=name)
def answer(user, secret, method, bucket):
    s3 = Minio(endpoint=sys.argv[1], access_key=user, secret_key=secret, secure=False, region="us-east-1")
    try:
        return METHODS[method](s3, bucket)
    except S3Error as error:
        return error.code
print(json.dumps([answer(*call) for call in json.load(sys.stdin)]))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Create an environment with MinIO's SDK from the role's lock; return its Python."""
    folder = str(tmp_path_factory.mktemp("sdk"))
    uv = str(Path(sys.executable).with_name("uv"))
    try:
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
        install = [uv, "pip", "install", "--quiet", "--require-hashes", "--python", folder, "-r", str(SDK)]
        subprocess.run(install, check=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"the SDK of files/sdk.txt cannot be installed: {error}")
    return f"{folder}/bin/python"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run an empty MinIO on free ports of loopback; yield its address."""
    binary = next(iter(sorted(CACHE.glob("minio/*/minio"))), None)
    if binary is None:
        pytest.skip("no MinIO in the cache yet: `make up` builds it")
    with closing(socket.socket()) as one, closing(socket.socket()) as two:
        addresses = []
        for free in (one, two):
            free.bind(("127.0.0.1", 0))
            addresses.append(f"127.0.0.1:{free.getsockname()[1]}")
    server = subprocess.Popen(
        [
            binary,
            "server",
            "--address",
            addresses[0],
            "--console-address",
            addresses[1],
            tmp_path_factory.mktemp("data"),
        ],
        env={
            "MINIO_ROOT_USER": ROOT["root_user"],
            "MINIO_ROOT_PASSWORD": ROOT["root_password"],
            "HOME": "/nonexistent",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield addresses[0]
    server.terminate()
    server.wait(20)


def run(python: str, endpoint: str, *, check: bool = False, **options: Any) -> dict[str, Any]:
    """Run the module as Ansible does; return its result."""
    given = {"endpoint": endpoint, "region": "us-east-1", **ROOT, "buckets": [], "users": [], **options}
    done = subprocess.run(
        [python, MODULE],
        check=False,
        input=json.dumps({"ANSIBLE_MODULE_ARGS": {**given, "_ansible_check_mode": check}}),
        env={**os.environ, "PYTHONPATH": ansible_path()},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def ansible_path() -> str:
    """Return the folder of Ansible's Python package, because the module's environment does not contain it."""
    import ansible

    return str(Path(ansible.__file__).parents[1])


def said(python: str, endpoint: str, user: str, secret: str, *calls: str) -> list[str | None]:
    """Make S3 calls, such as `read datasets`, as a user; return the result of each call."""
    given = json.dumps([[user, secret, *call.split()] for call in calls])
    command = [python, "-c", CLIENT, endpoint]
    done = subprocess.run(command, check=True, input=given, capture_output=True, text=True, timeout=60)
    answers: list[str | None] = json.loads(done.stdout)
    return answers


def test_check_mode_tells_what_it_would_do_and_does_nothing(python: str, endpoint: str) -> None:
    wanted: dict[str, Any] = {"buckets": [DATASETS], "users": [ADA]}
    expected = [
        "create the bucket datasets",
        "version the bucket datasets",
        "write the policy ada",
        "create the user ada",
        "attach the policy ada",
    ]
    assert run(python, endpoint, check=True, **wanted)["changes"] == expected
    assert run(python, endpoint, check=True, **wanted)["changes"] == expected


def test_a_user_can_do_what_was_asked_for_and_nothing_else(python: str, endpoint: str) -> None:
    answer = run(python, endpoint, buckets=[{"name": "mlflow"}, DATASETS, {"name": "other"}], users=[ADA])
    assert answer["changed"]

    root = said(python, endpoint, *ROOT.values(), "write datasets", "versioning datasets", "versioning mlflow")
    assert root == ["ok", "Enabled", None]
    ada = ("ada", ADA["secret"])
    on_mlflow = said(python, endpoint, *ada, "write mlflow", "read mlflow", "remove mlflow", "drop mlflow")
    assert on_mlflow == ["ok", "ok", "ok", "AccessDenied"]
    on_datasets = said(python, endpoint, *ada, "read datasets", "write datasets", "remove datasets")
    assert on_datasets == ["ok", "AccessDenied", "AccessDenied"]
    assert said(python, endpoint, *ada, "read other", "write other") == ["AccessDenied"] * 2


def test_a_second_run_changes_nothing(python: str, endpoint: str) -> None:
    wanted: dict[str, Any] = {"buckets": [{"name": "mlflow"}, DATASETS], "users": [ADA]}
    run(python, endpoint, **wanted)
    assert not run(python, endpoint, **wanted)["changed"]


def test_another_secret_replaces_the_old_one(python: str, endpoint: str) -> None:
    run(python, endpoint, buckets=[{"name": "mlflow"}, DATASETS], users=[ADA])
    answer = run(python, endpoint, users=[{**ADA, "secret": "another secret"}])
    assert answer["changes"] == ["set the key of the user ada"]
    assert said(python, endpoint, "ada", "another secret", "write mlflow") == ["ok"]
    assert said(python, endpoint, "ada", ADA["secret"], "write mlflow") == ["SignatureDoesNotMatch"]


def test_a_right_that_is_taken_away_is_gone(python: str, endpoint: str) -> None:
    run(python, endpoint, buckets=[{"name": "mlflow"}], users=[ADA])
    answer = run(python, endpoint, users=[{**ADA, "write": [], "read": ["mlflow"]}])
    assert answer["changes"] == ["write the policy ada"]
    assert said(python, endpoint, "ada", ADA["secret"], "write mlflow") == ["AccessDenied"]


def test_a_user_who_is_not_named_any_more_is_gone(python: str, endpoint: str) -> None:
    run(python, endpoint, buckets=[{"name": "mlflow"}, DATASETS], users=[ADA, {**ADA, "name": "bob"}])
    assert said(python, endpoint, "bob", ADA["secret"], "write mlflow") == ["ok"]
    assert run(python, endpoint, users=[ADA])["changes"] == ["remove the user bob"]
    assert said(python, endpoint, "bob", ADA["secret"], "write mlflow") == ["InvalidAccessKeyId"]
    assert said(python, endpoint, "ada", ADA["secret"], "write mlflow") == ["ok"]


def test_what_was_widened_by_hand_is_narrow_again(python: str, endpoint: str) -> None:
    wanted: dict[str, Any] = {"buckets": [{"name": "mlflow"}, DATASETS, {"name": "other"}], "users": [ADA]}
    run(python, endpoint, **wanted)
    assert said(python, endpoint, *ROOT.values(), "widen ada") == ["ok"]
    assert run(python, endpoint, **wanted)["changes"] == [
        "set the key of the user ada",  # MinIO refuses the key of a disabled user, so the module sets the key again
        "attach the policy ada",
        "enable the user ada",
        "take the user ada out of the group everything",
        "remove the user mallory",
    ]
    assert said(python, endpoint, "ada", ADA["secret"], "write mlflow", "write other") == ["ok", "AccessDenied"]
    assert not run(python, endpoint, **wanted)["changed"]


def test_versioning_is_switched_off_again(python: str, endpoint: str) -> None:
    run(python, endpoint, buckets=[DATASETS])
    answer = run(python, endpoint, buckets=[{**DATASETS, "versioned": False}])
    assert answer["changes"] == ["stop versioning the bucket datasets"]
    assert said(python, endpoint, *ROOT.values(), "versioning datasets") == ["Suspended"]


def test_no_secret_is_in_the_answer(python: str, endpoint: str) -> None:
    answer = json.dumps(run(python, endpoint, users=[{**ADA, "secret": "yet another secret"}]))
    assert "yet another secret" not in answer
    assert ROOT["root_password"] not in answer


def test_a_server_that_is_not_there_gets_a_sentence(python: str) -> None:
    answer = run(python, "127.0.0.1:9", wait=0)
    assert answer["failed"]
    assert answer["msg"].startswith("MinIO at 127.0.0.1:9 ")


def test_old_versions_are_kept_for_the_days_that_are_asked_for_and_other_rules_stay(python: str, endpoint: str) -> None:
    root = ROOT["root_user"], ROOT["root_password"]
    wanted: dict[str, Any] = {"buckets": [{"name": "kept", "versioned": True}, {"name": "plain"}]}
    run(python, endpoint, **wanted)
    month = ["keep old versions in kept for 30 days"]
    assert run(python, endpoint, **wanted, old_versions_days=30, check=True)["changes"] == month
    assert run(python, endpoint, **wanted, old_versions_days=30)["changes"] == month
    assert run(python, endpoint, **wanted, old_versions_days=30)["changed"] is False
    assert said(python, endpoint, *root, "add-rule kept", "rules kept") == ["ok", "own trackbox-old-versions"]
    assert run(python, endpoint, **wanted, old_versions_days=7)["changes"] == ["keep old versions in kept for 7 days"]
    assert said(python, endpoint, *root, "rules kept") == ["own trackbox-old-versions"]
    assert run(python, endpoint, **wanted)["changes"] == ["keep old versions in kept for ever"]
    assert said(python, endpoint, *root, "rules kept") == ["own"]


def test_objects_are_kept_for_the_days_that_are_asked_for_and_other_rules_stay(python: str, endpoint: str) -> None:
    root = ROOT["root_user"], ROOT["root_password"]
    wanted: dict[str, Any] = {"buckets": [{"name": "dropping", "days": 90}]}
    assert "keep objects in dropping for 90 days" in run(python, endpoint, **wanted)["changes"]
    assert run(python, endpoint, **wanted)["changed"] is False
    assert said(python, endpoint, *root, "add-rule dropping", "rules dropping") == ["ok", "own trackbox-old-objects"]
    wanted["buckets"][0]["days"] = 7
    assert run(python, endpoint, **wanted)["changes"] == ["keep objects in dropping for 7 days"]
    del wanted["buckets"][0]["days"]
    assert run(python, endpoint, **wanted)["changes"] == ["keep objects in dropping for ever"]
    assert said(python, endpoint, *root, "rules dropping") == ["own"]
