"""In the object store, the users `training` and `mlflow` have access to their own bucket only."""

import http.client
import json
import ssl

import pytest
from machine import Machine


def s3(machine: Machine, user: str, secret: str, *calls: str) -> list[str]:
    """Return the results of boto3 calls such as `list_objects_v2 Bucket=mlflow`: `ok`, or the error's code."""
    answers: list[str] = json.loads(machine.run_client("client_s3.py", user, secret, *calls))
    return answers


def test_training_reads_and_writes_its_bucket_and_no_other(machine: Machine) -> None:
    answers = s3(
        machine,
        "training",
        machine.secret("training_s3_secret"),
        "list_objects_v2 Bucket=datasets",
        "put_object Bucket=datasets Key=test/x Body=x",
        "get_object Bucket=datasets Key=test/x",
        "delete_object Bucket=datasets Key=test/x",
        "list_objects_v2 Bucket=mlflow",
        "put_object Bucket=mlflow Key=x Body=x",
        "create_bucket Bucket=another",
        "delete_bucket Bucket=datasets",
        "put_bucket_versioning Bucket=datasets",
    )
    assert answers == ["ok"] * 4 + ["AccessDenied"] * 5


def test_mlflow_has_its_bucket_and_no_other(machine: Machine) -> None:
    answers = s3(
        machine,
        "mlflow",
        machine.secret("mlflow_s3_secret"),
        "list_objects_v2 Bucket=mlflow",
        "list_objects_v2 Bucket=datasets",
        "get_object Bucket=datasets Key=test/x",
        "delete_bucket Bucket=mlflow",
    )
    assert answers == ["ok"] + ["AccessDenied"] * 3


@pytest.mark.parametrize(
    ("user", "secret"), [("minioadmin", "minioadmin"), ("training", "wrong-secret"), ("trackbox-root", "minioadmin")]
)
def test_default_and_wrong_keys_are_refused(machine: Machine, user: str, secret: str) -> None:
    (answer,) = s3(machine, user, secret, "list_buckets")
    assert answer in ("InvalidAccessKeyId", "SignatureDoesNotMatch")


def test_the_data_sets_are_versioned(machine: Machine) -> None:
    root = machine.secret("minio_root_password")
    (versioned, plain) = s3(
        machine, "trackbox-root", root, "get_bucket_versioning Bucket=datasets", "get_bucket_versioning Bucket=mlflow"
    )
    assert (versioned, plain) == ("Enabled", "ok")


def test_addresses_signed_for_nginx_do_not_work_from_outside(machine: Machine) -> None:
    trust = ssl.create_default_context(cafile=str(machine.secrets / "ca.crt"))
    for name, judge in (("127.0.0.1:9000", b"nginx"), (f"{machine.address}:9443", b"AccessDenied")):
        connection = http.client.HTTPSConnection(machine.address, 9443, timeout=20, context=trust)
        connection.request("GET", "/mlflow/x", headers={"Host": name})
        answer = connection.getresponse()
        assert (answer.status, judge in answer.read()) == (403, True), name
        connection.close()
