"""NGINX and MLflow refuse requests above the size limit with an error in MLflow's JSON format, and keep working."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path

import pytest
from machine import ROOT, Machine
from testinfra.host import Host

BODIES = [
    ("/api/2.0/mlflow/runs/search", 512, "admin"),
    ("/ajax-api/3.0/mlflow/traces/search", 512, "viewer"),
    ("/graphql", 512, "viewer"),
    ("/api/2.0/mlflow/runs/log-inputs", 32 << 10, "admin"),
    ("/v1/traces", 32 << 10, "admin"),
    ("/minio/api/v1/login", 2 << 10, "admin"),
    ("/nothing", 32 << 10, "admin"),
]


@pytest.mark.parametrize(("path", "kilobytes", "role"), BODIES)
def test_a_body_that_is_too_large_is_refused_in_mlflows_form(
    machine: Machine, viewer: dict[str, str], path: str, kilobytes: int, role: str
) -> None:
    who = viewer if role == "viewer" else {"user": "admin", "password": machine.secret("admin_password")}
    larger = machine.ask(path, method="POST", body="x" * (kilobytes << 10), **who)
    assert (larger.status, json.loads(larger.body)["error_code"]) == (413, "INVALID_PARAMETER_VALUE")
    assert larger.headers["Content-Type"] == "application/json"
    assert machine.ask(path, method="POST", body="x" * ((kilobytes << 10) - 1000), **who).status != 413


def test_traces_are_limited_by_their_decompressed_size(machine: Machine, tmp_path: Path) -> None:
    statuses = {}
    for size in (31, 33):
        body = tmp_path / f"{size}.gz"
        body.write_bytes(gzip.compress(bytes(size << 20)))
        statuses[size] = curl(
            machine, "/v1/traces", body, "Content-Encoding: gzip", "Content-Type: application/x-protobuf"
        )
    # MLflow accepts the size of the smaller body, but refuses its content with 400, because zero bytes are not a valid
    # message of traces.
    assert (statuses[31][0], statuses[33][0]) == (400, 413)
    assert json.loads(statuses[33][1])["error_code"] == "INVALID_PARAMETER_VALUE"


def test_an_artifact_and_an_upload_of_the_console_may_be_larger(machine: Machine, tmp_path: Path) -> None:
    body = tmp_path / "artifact"
    body.write_bytes(bytes(40 << 20))
    path = "/api/2.0/mlflow-artifacts/artifacts/hostile/artifact"
    assert curl(machine, path, body, method="PUT")[0] == 200
    # NGINX must not refuse the size with 413. The console refuses the upload, because the request has no console login.
    assert curl(machine, "/minio/api/v1/buckets/mlflow/objects/upload?prefix=x", body)[0] != 413


def curl(machine: Machine, path: str, body: Path, *headers: str, method: str = "POST") -> tuple[int, str]:
    """Send a file as admin; return status and body of the response."""
    command = ["curl", "--silent", "--max-time", "60", "--cacert", f"{machine.secrets}/ca.crt", "--request", method]
    for header in ("x-mlflow-experiment-id: 0", *headers):
        command += ["--header", header]
    command += ["--config", "-", "--data-binary", f"@{body}", "--write-out", "\n%{http_code}", machine.url + path]
    login = f'user = "admin:{machine.secret("admin_password")}"\n'
    said = subprocess.run(command, input=login, cwd=ROOT, capture_output=True, text=True, timeout=90, check=True).stdout
    text, _, status = said.rpartition("\n")
    return int(status), text


def test_a_worker_without_memory_answers_an_error_and_is_replaced(machine: Machine, host: Host, tmp_path: Path) -> None:
    admin = {"user": "admin", "password": machine.secret("admin_password")}
    # Restart the workers, because earlier large requests leave free memory in a worker. Then limit each worker to 20 MB
    # more memory than it uses after its start.
    host.check_output("systemctl restart mlflow")
    machine.wait_for_health(200, 60)
    host.check_output(
        "for p in $(pgrep -u mlflow -f trackbox_mlflow.server); do kb=$(awk '/^VmData/ {print $2}' /proc/$p/status); "
        "prlimit --pid $p --data=$(((kb + 20000) * 1024)):; done"
    )
    try:
        body = tmp_path / "body"
        body.write_text(json.dumps({"experiment_ids": ["1"] * 100_000}))
        status, text = curl(machine, "/api/2.0/mlflow/runs/search", body, "Content-Type: application/json")
        assert status in (500, 503), text[:200]
        assert json.loads(text)["error_code"] in ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE")
        for _ in range(20):
            assert machine.ask("/api/2.0/mlflow/experiments/search?max_results=1", **admin).status == 200
    finally:
        host.check_output("systemctl restart mlflow")
        machine.wait_for_health(200, 60)
