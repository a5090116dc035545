"""Artifacts go between NGINX and the object store where MLflow signs an address, else by way of MLflow."""

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPResponse
from urllib.parse import quote

import pytest
from machine import Answer, Machine
from testinfra.host import Host

FOLDER = "/api/2.0/mlflow-artifacts/artifacts/test-artifacts/"
Ask = Callable[..., Answer]


@pytest.fixture
def ask(machine: Machine) -> Ask:
    """Send a request as the admin, to the artifact of this name; with `body` as it is, and these headers."""
    trust = ssl.create_default_context(cafile=str(machine.secrets / "ca.crt"))
    login = base64.b64encode(f"admin:{machine.secret('admin_password')}".encode()).decode()

    def send(method: str, name: str, body: bytes | None = None, **headers: str) -> Answer:
        headers = {name.replace("_", "-"): value for name, value in headers.items()} | {
            "Authorization": f"Basic {login}"
        }
        request = urllib.request.Request(machine.url + FOLDER + quote(name), body, headers, method=method)
        try:
            response: HTTPResponse | urllib.error.HTTPError = urllib.request.urlopen(request, context=trust, timeout=30)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            return Answer(response.status or 0, response.headers, response.read())

    return send


@pytest.mark.parametrize(
    ("name", "direct"),
    [
        ("model.pkl", True),
        ("a folder/with=some,of+them@once.txt", True),
        ("a?b&c.txt", False),
        ("100 %.txt", False),
        ("%2e%2e.txt", False),
        ("Größe.csv", False),
        ("it's.txt", False),
    ],
)
def test_an_artifact_comes_back_as_it_went(ask: Ask, name: str, direct: bool) -> None:
    body = name.encode() * 1000
    assert ask("PUT", name, body, Content_Type="application/octet-stream").status == 200
    whole, part = ask("GET", name), ask("GET", name, Range="bytes=1-5")
    assert (whole.status, whole.body) == (200, body)
    assert whole.headers["Content-Disposition"].startswith("attachment; filename=")
    assert whole.headers.get_all("X-Content-Type-Options") == ["nosniff"]
    assert "sandbox" in whole.headers["Content-Security-Policy"]
    # What the object store would say beside it.
    assert not [header for header in whole.headers if header.startswith("X-Amz") or header in ("ETag", "Last-Modified")]
    # Only the object store knows parts.
    assert (part.status, part.body) == ((206, body[1:6]) if direct else (200, body))
    assert ask("DELETE", name).status == 200
    assert ask("GET", name).status in (404, 500)


def test_an_artifact_that_is_not_there_is_told_in_mlflows_form(ask: Ask) -> None:
    said = ask("GET", "nowhere.txt")
    assert (said.status, said.headers["Content-Type"]) == (404, "application/json")
    assert json.loads(said.body)["error_code"] == "RESOURCE_DOES_NOT_EXIST"


def test_a_clients_headers_do_not_speak_to_the_store(ask: Ask) -> None:
    ask("PUT", "secret.txt", b"another's")
    copied = {
        "x_amz_copy_source": "/mlflow/test-artifacts/secret.txt",
        "x_amz_tagging": "a=b",
        "x_amz_acl": "public-read",
    }
    assert ask("PUT", "copy.txt", b"mine", **copied).status == 200
    assert ask("GET", "copy.txt").body == b"mine"


@pytest.mark.parametrize(
    "path", ["/-/artifact", "/-/artifact/test-artifacts/x", "/-/artifact/", "/-/mlflow", "/-//artifact/x"]
)
def test_the_door_keeps_its_own_questions_to_itself(machine: Machine, path: str) -> None:
    said = machine.ask(path, user="admin", password=machine.secret("admin_password"))
    assert said.status == 404
    assert "X-Trackbox-Address" not in said.headers


def test_only_nginx_reaches_the_workers_own_sockets(host: Host) -> None:
    sockets = host.check_output("ls /run/trackbox-mlflow-*.sock").split()
    assert len(sockets) >= 2
    for path in sockets:
        socket = host.file(path)
        assert (socket.user, socket.group, socket.mode) == ("mlflow", "www-data", 0o660)
    knock = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    done = host.run(f'runuser -u nobody -- python3 -c "{knock}" {sockets[0]}')
    assert "PermissionError" in done.stderr
