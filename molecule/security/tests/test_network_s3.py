"""Attacks on S3 from the network: no key, a wrong key, another user's key, an expired signature, admin requests."""

import json
import time
import urllib.parse
from collections import Counter

import pytest
from machine import Machine
from raw_http import OWN_PAGE, exchange, request

PORT = 9443
REFUSED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed"}
REFUSED |= {"InvalidRequest", "MalformedPOSTRequest", "MethodNotAllowed", "NotImplemented", "BadRequest"}

CALLS = [
    "list_buckets",
    "list_objects_v2 Bucket=mlflow",
    "list_objects_v2 Bucket=datasets",
    "list_object_versions Bucket=datasets",
    "get_object Bucket=mlflow Key=x",
    "put_object Bucket=mlflow Key=x Body=x",
    "delete_object Bucket=mlflow Key=x",
    "create_bucket Bucket=evil",
    "delete_bucket Bucket=mlflow",
    "get_bucket_policy Bucket=mlflow",
    "get_bucket_location Bucket=mlflow",
    "create_multipart_upload Bucket=mlflow Key=x",
    "list_multipart_uploads Bucket=mlflow",
    "get_bucket_acl Bucket=mlflow",
    "get_bucket_cors Bucket=mlflow",
]


def s3(machine: Machine, attacks: Counter[str], user: str, secret: str, *calls: str) -> list[str]:
    """Return the result of each S3 call."""
    attacks["network"] += len(calls)
    answers: list[str] = json.loads(machine.run_client("client_s3.py", user, secret, *calls))
    return answers


@pytest.mark.parametrize("user", ["minioadmin", "admin", "root", "trackbox-root", "mlflow", "training", "console"])
def test_wrong_keys_are_refused(machine: Machine, attacks: Counter[str], user: str) -> None:
    for secret in ("minioadmin", "password", user + user):
        assert set(s3(machine, attacks, user, secret, *CALLS)) <= REFUSED


def test_mlflows_key_allows_only_what_mlflow_needs(machine: Machine, attacks: Counter[str]) -> None:
    calls = [call.replace("mlflow", "datasets") for call in CALLS if call != "list_buckets"]
    calls += ["delete_bucket Bucket=mlflow", "get_bucket_policy Bucket=mlflow", "put_bucket_versioning Bucket=mlflow"]
    answers = s3(machine, attacks, "mlflow", machine.secret("mlflow_s3_secret"), *calls)
    assert set(answers) == {"AccessDenied"}


def test_trainings_key_allows_only_what_training_needs(machine: Machine, attacks: Counter[str]) -> None:
    calls = [call for call in CALLS if "Bucket=mlflow" in call] + ["create_bucket Bucket=evil"]
    calls += [
        "delete_bucket Bucket=datasets",
        "get_bucket_policy Bucket=datasets",
        "put_bucket_versioning Bucket=datasets",
    ]
    answers = s3(machine, attacks, "training", machine.secret("training_s3_secret"), *calls)
    assert set(answers) == {"AccessDenied"}


def refused(machine: Machine, attacks: Counter[str], sent: bytes) -> bool:
    """Return whether NGINX or MinIO refuses the request."""
    attacks["network"] += 1
    return all(reply.status >= 300 for reply in exchange(machine, sent, port=PORT))


def test_nothing_answers_without_a_key(machine: Machine, attacks: Counter[str]) -> None:
    paths = [
        "/",
        "/mlflow",
        "/mlflow/",
        "/mlflow?list-type=2",
        "/datasets?versions",
        "/mlflow?policy",
        "/mlflow?location",
    ]
    paths += [
        "/?Action=ListBuckets",
        "/mlflow/x",
        "/mlflow/../datasets",
        "/mlflow/%2e%2e/datasets",
        "/.minio.sys/config",
    ]
    paths += ["/.minio.sys", "/.minio.sys?list-type=2", "/mlflow?list-type=2&X-Amz-Algorithm=AWS4-HMAC-SHA256"]
    for path in paths:
        for method in ("GET", "PUT", "POST", "DELETE", "HEAD"):
            assert refused(machine, attacks, request(machine, method, path)), (method, path)


def test_the_token_service_issues_no_key(machine: Machine, attacks: Counter[str]) -> None:
    actions = ["AssumeRole", "AssumeRoleWithWebIdentity", "AssumeRoleWithLDAPIdentity", "AssumeRoleWithClientGrants"]
    actions += ["AssumeRoleWithCertificate", "AssumeRoleWithCustomToken", "GetSessionToken"]
    for action in actions:
        values = {"Action": action, "Version": "2011-06-15", "WebIdentityToken": "x", "LDAPUsername": "x"}
        query = urllib.parse.urlencode(values | {"LDAPPassword": "x", "Token": "x", "DurationSeconds": "3600"})
        for sent in (request(machine, "POST", f"/?{query}"), request(machine, "POST", "/", body=query.encode())):
            assert refused(machine, attacks, sent)


def test_a_form_uploads_nothing_without_a_signature(machine: Machine, attacks: Counter[str]) -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\ny\r\n--x\r\n'
    form += b'Content-Disposition: form-data; name="file"; filename="y"\r\n\r\nevil\r\n--x--\r\n'
    head = f"POST /mlflow HTTP/1.1\r\nHost: {machine.address}\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    sent = f"{head}Connection: close\r\nContent-Length: {len(form)}\r\n\r\n".encode() + form
    assert refused(machine, attacks, sent)


def test_a_presigned_address_expires_and_allows_only_the_signed_request(
    machine: Machine, attacks: Counter[str]
) -> None:
    secret = machine.secret("training_s3_secret")
    assert s3(machine, attacks, "training", secret, "put_object Bucket=datasets Key=presigned Body=x") == ["ok"]
    (short, long) = json.loads(
        machine.run_client("client_presign.py", "training", secret, "datasets/presigned", "2", "60")
    )
    altered = [
        long.replace("presigned?", "other?"),
        long.replace("Expires=60", "Expires=600"),
        long.replace("training", "trackbox-root"),
        long.replace("/datasets/", "/mlflow/"),
        long[:-4] + "0000",
        long.split("&X-Amz-Signature")[0],
        long + "&versionId=null",
    ]

    def status(url: str, method: str = "GET") -> int:
        attacks["network"] += 1
        path = url.partition(f":{PORT}")[2]
        return machine.ask(path, url=f"{machine.url}:{PORT}", method=method).status

    assert status(short) == status(long) == 200
    time.sleep(3)
    assert status(short) == 403
    assert {status(url) for url in altered} <= {400, 403}
    assert {status(long, method) for method in ("PUT", "DELETE", "POST")} <= {400, 403, 405}
    assert status(long) == 200
    assert s3(machine, attacks, "training", secret, "delete_object Bucket=datasets Key=presigned") == ["ok"]


def test_no_spelling_reaches_the_administration(machine: Machine, attacks: Counter[str]) -> None:
    ends = [
        "admin/v3/info",
        "admin/v3/list-users",
        "health/live",
        "health/cluster",
        "v2/metrics/cluster",
        "kms/v1/status",
    ]
    before = [
        "/minio/",
        "//minio/",
        "/./minio/",
        "/x/../minio/",
        "/%6dinio/",
        "/minio%2f",
        "/minio//",
        "/MINIO/",
        "/minio/./",
    ]
    before += [
        "/%2e/minio/",
        "/;/minio/",
        "/minio;x/",
        "/x/%2e%2e/minio/",
        f"https://localhost:{PORT}/minio/",
        "/minio\\",
    ]
    for end in ends:
        for start in before:
            for reply in exchange(machine, request(machine, "GET", start + end), port=PORT):
                attacks["network"] += 1
                assert reply.status >= 300, start + end
                own = OWN_PAGE in reply.body or reply.body == b""
                # If MinIO responds, the response must be an S3 error for an object of that name.
                assert own or b"<Code>" in reply.body, (start + end, reply.body[:200])
