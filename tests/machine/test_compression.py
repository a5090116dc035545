"""The UI's files and MLflow's JSON are compressed, and browsers cache files whose names contain a hash."""

from __future__ import annotations

import gzip
import json

import pytest
from machine import Answer, Machine
from testinfra.host import Host

STATIC = "/opt/trackbox/mlflow/current/static-files"
ARTIFACT = "/api/2.0/mlflow-artifacts/artifacts/compression/table.json"


def ask(machine: Machine, path: str, encoding: str, method: str = "GET", body: object = None) -> Answer:
    """Send a request as admin with this value of Accept-Encoding."""
    admin = {"user": "admin", "password": machine.secret("admin_password")}
    return machine.ask(path, method=method, body=body, encoding=encoding, **admin)


@pytest.mark.parametrize("pattern", ["static/js/main.*.js", "static/css/main.*.css", "index.html"])
def test_a_file_of_the_ui_has_the_same_content_in_each_form(machine: Machine, host: Host, pattern: str) -> None:
    path = host.check_output(f"cd {STATIC} && ls {pattern}")
    plain = ask(machine, f"/static-files/{path}", "identity")
    zipped = ask(machine, f"/static-files/{path}", "gzip")
    assert plain.status == zipped.status == 200
    if len(plain.body) >= 1000:
        assert zipped.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(zipped.body) == plain.body
        smaller = ask(machine, f"/static-files/{path}", "gzip, br")
        assert smaller.headers["Content-Encoding"] == "br"
        assert len(smaller.body) < len(zipped.body)
        assert smaller.body == host.file(f"{STATIC}/{path}.br").content
        assert zipped.headers["Vary"] == "Accept-Encoding"


def test_browsers_keep_a_file_with_a_hash_in_its_name_and_ask_again_for_the_others(
    machine: Machine, host: Host
) -> None:
    hashed = host.check_output(f"cd {STATIC} && ls static/js/main.*.js")
    kept = ask(machine, f"/static-files/{hashed}", "gzip").headers.get_all("Cache-Control")
    assert kept == ["private, max-age=31536000, immutable"]
    for path in ("/static-files/index.html", "/static-files/asset-manifest.json", "/"):
        assert ask(machine, path, "gzip").headers.get_all("Cache-Control") == ["no-cache"], path
    missing = ask(machine, "/static-files/static/js/none.c2f5f8d4.js", "gzip")
    assert (missing.status, missing.headers["Cache-Control"]) == (404, None)


def test_a_file_that_nginx_lacks_comes_from_mlflow(machine: Machine, host: Host) -> None:
    path = host.check_output(f"cd {STATIC} && ls static/js/main.*.js")
    host.check_output(f"mv {STATIC} {STATIC}.away")
    try:
        answer = ask(machine, f"/static-files/{path}", "gzip")
        assert (answer.status, answer.headers["Content-Encoding"]) == (200, "gzip")
        assert answer.headers.get_all("Cache-Control") == ["private, max-age=31536000, immutable"]
    finally:
        host.check_output(f"mv {STATIC}.away {STATIC}")


def test_long_json_is_compressed_and_short_json_is_not(machine: Machine) -> None:
    path = "/ajax-api/2.0/mlflow/experiments/search?max_results=1000"
    for number in range(8):
        ask(
            machine,
            "/api/2.0/mlflow/experiments/create",
            "identity",
            "POST",
            {"name": f"long name {number} " + "x" * 200},
        )
    plain, zipped = ask(machine, path, "identity"), ask(machine, path, "gzip")
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(zipped.body)) == json.loads(plain.body)
    assert ask(machine, "/version", "gzip").headers["Content-Encoding"] is None


def test_an_artifact_is_not_compressed(machine: Machine) -> None:
    rows = ["a row of an artifact"] * 1000
    assert ask(machine, ARTIFACT, "gzip", "PUT", rows).status == 200
    answer = ask(machine, ARTIFACT, "gzip")
    assert answer.headers["Content-Encoding"] is None
    assert json.loads(answer.body) == rows
