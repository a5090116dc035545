"""No route of MLflow or MinIO's console, no method and no spelling of a path is served without a password."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from machine import Machine
from raw_http import attack, exchange, is_refusal, request
from spellings import METHODS, MLFLOW, spellings
from testinfra.host import Host

ROUTES = Path(__file__).parents[3] / "tests/machine/list_routes.py"

# MinIO's binary contains the list of the console's routes.
CONSOLE = """
import json
from pathlib import Path
data = Path("/proc/%s/exe").read_bytes()
start = data.index(b'"swagger": "2.0"')
start = data.rindex(b"{", 0, start)
text = data[start:start + 2_000_000].decode("latin-1")
print(json.dumps(list(json.JSONDecoder().raw_decode(text)[0]["paths"])))
"""


@pytest.fixture(scope="module")
def routes(host: Host) -> list[str]:
    """Return every path of MLflow's and the console's route tables, with values for the parameters."""
    script = ROUTES.read_text()
    mlflow = json.loads(host.check_output("/opt/trackbox/mlflow/current/bin/python -c %s 2>/dev/null", script))
    pid = host.check_output("systemctl show --value --property MainPID minio")
    console = json.loads(host.check_output("python3 -c %s", CONSOLE % pid))
    assert len(mlflow) > 400
    assert len(console) > 10
    paths = {path for _, path in mlflow if path} | {f"/minio/api/v1{path}" for path in console}
    return sorted({re.sub(r"<[^>]*>|{[^}]*}", "x", path) for path in paths} | {"/minio/", "/minio/ws/objectManager"})


def test_no_route_answers_without_a_password(machine: Machine, attacks: Counter[str], routes: list[str]) -> None:
    requests = [request(machine, method, path) for path in routes for method in ("GET", "POST", "DELETE")]
    assert attack(machine, attacks, requests) == []


@pytest.mark.parametrize("method", METHODS)
def test_no_method_answers_without_a_password(machine: Machine, attacks: Counter[str], method: str) -> None:
    paths = [MLFLOW, "/", "/minio/", "/graphql", "/static-files/index.html", "/-/mlflow", "/-/viewer"]
    assert attack(machine, attacks, [request(machine, method, path) for path in paths]) == []


@pytest.mark.parametrize(
    "path", ["/api/2.0/mlflow/experiments/search", "/ajax-api/2.0/mlflow/runs/search", "/minio/login"]
)
def test_no_spelling_answers_without_a_password(machine: Machine, attacks: Counter[str], path: str) -> None:
    requests = [request(machine, "GET", other) for other in spellings(path)]
    passed = attack(machine, attacks, requests)
    # Without a password, only /healthz may be served.
    assert [line for line in passed if not re.search(r"'GET /healthz[?#]", line)] == []


def test_no_header_replaces_the_password(machine: Machine, attacks: Counter[str]) -> None:
    headers = [
        *(f"{name}: GET" for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")),
        *(f"{name}: /healthz" for name in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Path", "X-Forwarded-Uri")),
        *(f"{name}: 127.0.0.1" for name in ("X-Forwarded-For", "X-Real-IP", "Client-IP", "True-Client-IP", "Via")),
        "Forwarded: for=127.0.0.1;host=localhost;proto=https",
        "X-Forwarded-Host: localhost",
        "X-Forwarded-User: admin",
        "X-Remote-User: admin",
        "Remote-User: admin",
        "Proxy-Authorization: Basic YWRtaW46YWRtaW4=",
        *(f"Authorization: {value}" for value in ("Basic", "Basic ", "Basic Og==", "Basic YWRtaW4=", "Basic YWRtaW46")),
        *(f"Authorization: {value}" for value in ("Basic ====", "Bearer x", "basic YWRtaW46YWRtaW4=", "Digest a=b")),
        "Authorization: Basic AAAA\x00",
        "Authorization: Basic " + "QQ" * 3000,
        "Cookie: session=admin; token=x",
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Range: bytes=0-",
        "Expect: 100-continue",
    ]
    paths = ["/", MLFLOW, "/minio/", "/ajax-api/3.0/mlflow/assistant/config"]
    requests = [request(machine, "GET", path, header) for path in paths for header in headers]
    assert attack(machine, attacks, requests) == []


def test_a_redirect_does_not_lead_to_a_forged_host(machine: Machine, attacks: Counter[str]) -> None:
    for host in ("evil.example", "evil.example:80", "evil.example\r\nX-Injected: yes"):
        attacks["network"] += 2
        for path in ("/x", "/%0d%0aX-Injected:%20yes", "//evil.example/"):
            sent = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
            for reply in exchange(machine, sent):
                assert is_refusal(reply)
                assert b"evil.example" not in reply.head
                assert b"\r\nX-Injected" not in reply.head
