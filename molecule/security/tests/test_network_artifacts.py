"""Attacks by a user with a password who wants to read the server's own files."""

import base64
import json
import uuid
from collections import Counter
from typing import Any

import pytest
from machine import Machine
from raw_http import Reply, exchange, request

SECRETS = (b"root:x:0", b"aws_secret_access_key", b"PRIVATE KEY", b"[mysqld]", b"MLFLOW_CRYPTO_KEK")
UPS = ["../" * 8, "..%2f" * 8, "%2e%2e/" * 8, "%252e%252e%252f" * 8, "..\\" * 8, "..%5c" * 8, "....//" * 8, "/", "//"]
TARGETS = ["etc/passwd", "run/credentials/mlflow.service/aws", "proc/self/environ", "etc/trackbox/mlflow/aws"]
PLACES = [
    "file:///etc",
    "file:///",
    "file://localhost/etc",
    "/etc",
    "/run/credentials/mlflow.service",
    "../../../../etc",
    "file:///proc/self/root/etc",
    "FILE:///etc",
    "s3://datasets",
    "http://127.0.0.1:9000/minio/admin/v3/info",
    "https://127.0.0.1:9001",
    "mlflow-artifacts://127.0.0.1:9000/x",
    "dbfs:/etc",
    "ftp://127.0.0.1/etc",
    "sftp://127.0.0.1/etc",
    "file:///etc#",
    "file:///etc?x",
]


@pytest.fixture
def admin(machine: Machine) -> dict[str, str]:
    """Return the admin's name and password."""
    return {"user": "admin", "password": machine.secret("admin_password")}


def read(answer: bytes) -> list[bytes]:
    """Return the texts of SECRETS that a response contains. These texts occur only in the server's own files."""
    return [secret for secret in SECRETS if secret in answer]


def test_no_artifact_path_leaves_the_store(machine: Machine, attacks: Counter[str], admin: dict[str, str]) -> None:
    login = base64.b64encode(f"{admin['user']}:{admin['password']}".encode()).decode()
    for base in ("/api/2.0/mlflow-artifacts/artifacts", "/ajax-api/2.0/mlflow-artifacts/artifacts", "/static-files"):
        for up in UPS:
            for target in TARGETS:
                attacks["network"] += 1
                sent = request(machine, "GET", f"{base}/{up}{target}", f"Authorization: Basic {login}")
                for reply in exchange(machine, sent):
                    assert read(reply.body) == []
                    assert reply.status != 200 or b"<title>MLflow" in reply.body, (up, target, reply.body[:100])


def call(machine: Machine, attacks: Counter[str], admin: dict[str, str], path: str, /, **body: Any) -> dict[str, Any]:
    """Make an API call; return the decoded response, or {} if the call is refused."""
    attacks["network"] += 1
    answer = machine.ask(f"/api/2.0/mlflow/{path}", method="POST", body=body, **admin)
    assert read(answer.body) == []
    return dict(json.loads(answer.body)) if answer.status == 200 else {}


@pytest.mark.parametrize("place", PLACES)
def test_no_artifact_location_of_an_experiment_reveals_a_file_of_the_server(
    machine: Machine, attacks: Counter[str], admin: dict[str, str], place: str
) -> None:
    name = f"evil {uuid.uuid4().hex}"
    made = call(machine, attacks, admin, "experiments/create", name=name, artifact_location=place)
    if not made:
        return
    try:
        run = call(machine, attacks, admin, "runs/create", experiment_id=made["experiment_id"])
        run_id = run.get("run", {}).get("info", {}).get("run_id", "x")
        for path in (
            "passwd",
            "aws",
            "../passwd",
            "../../passwd",
            "..%2f..%2fpasswd",
            "/etc/passwd",
            "file:///etc/passwd",
        ):
            for question in (
                f"/get-artifact?run_id={run_id}&path={path}",
                f"/api/2.0/mlflow/artifacts/list?run_id={run_id}&path={path}",
            ):
                attacks["network"] += 1
                answer = machine.ask(question, **admin)
                assert read(answer.body) == []
                assert answer.status != 200 or b"root_uri" in answer.body
    finally:
        call(machine, attacks, admin, "experiments/delete", experiment_id=made["experiment_id"])


@pytest.mark.parametrize("place", PLACES)
def test_no_source_of_a_model_reveals_a_file_of_the_server(
    machine: Machine, attacks: Counter[str], admin: dict[str, str], place: str
) -> None:
    name = f"evil-{uuid.uuid4().hex}"
    call(machine, attacks, admin, "registered-models/create", name=name)
    made = call(machine, attacks, admin, "model-versions/create", name=name, source=place)
    try:
        assert made == {}, "a model's files may only come from the artifact store"
        for path in ("passwd", "aws", "../passwd", "x"):
            attacks["network"] += 1
            answer = machine.ask(f"/model-versions/get-artifact?name={name}&version=1&path={path}", **admin)
            assert read(answer.body) == []
            assert answer.status != 200
    finally:
        machine.ask("/api/2.0/mlflow/registered-models/delete", method="DELETE", body={"name": name}, **admin)


@pytest.mark.parametrize("user", ["admin", "nobody"])
def test_requests_to_the_assistant_are_refused(machine: Machine, attacks: Counter[str], user: str) -> None:
    password = machine.secret("admin_password") if user == "admin" else "x"
    for prefix in (
        "/ajax-api/3.0",
        "/api/3.0",
        "/AJAX-API/3.0",
        "/ajax-api//3.0",
        "/x/../ajax-api/3.0",
        "/ajax-api/3%2e0",
    ):
        for end in (
            "assistant/message",
            "assistant/config",
            "assistant/skills/install",
            "%61ssistant/config",
            "assistant",
        ):
            for method in ("GET", "POST"):
                attacks["network"] += 1
                answer = machine.ask(f"{prefix}/mlflow/{end}", method=method, user=user, password=password)
                assert answer.status == (403 if user == "admin" else 401)


@pytest.mark.parametrize("prefix", ["/api", "/ajax-api"])
def test_a_foreign_origin_or_host_is_refused_as_mlflow_refuses_it(
    machine: Machine, attacks: Counter[str], admin: dict[str, str], prefix: str
) -> None:
    login = base64.b64encode(f"{admin['user']}:{admin['password']}".encode()).decode()
    path = f"{prefix}/2.0/mlflow-artifacts/artifacts/foreign-{uuid.uuid4().hex}"

    def ask(method: str, host: str = machine.address, origin: str = "") -> Reply:
        attacks["network"] += 1
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", f"Authorization: Basic {login}"]
        lines += [f"Origin: {origin}"] * bool(origin) + ["Content-Length: 1"] * (method == "PUT")
        [reply] = exchange(machine, "\r\n".join([*lines, "", ""]).encode() + b"x" * (method == "PUT"))
        return reply

    foreign = ["https://evil.example", f"https://{machine.address}.evil.example", f"http://{machine.address}", "null"]
    for origin in foreign:
        assert {ask(method, origin=origin).status for method in ("PUT", "DELETE", "POST", "PATCH")} == {403}
    assert ask("GET").status == 404, "a foreign origin has put an artifact"
    assert ask("PUT", origin=f"https://{machine.address}").status == 200
    for origin in foreign:
        read = ask("GET", origin=origin)
        assert b"access-control-allow-origin" not in read.head.lower(), "a page of this origin may read the artifact"
    assert b"access-control-allow-origin: https" in ask("GET", origin=f"https://{machine.address}").head.lower()
    for host in ("evil.example", f"{machine.address}.evil.example", f"evil.{machine.address}", "127.0.0.1:9000"):
        assert {ask(method, host=host).status for method in ("GET", "HEAD", "PUT", "DELETE", "POST")} == {403}
    assert ask("DELETE").status == 200
