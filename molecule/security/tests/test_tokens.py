"""A token has the rights of its role until it expires. NGINX refuses invalid tokens, and logs the names of tokens."""

from __future__ import annotations

import base64
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from machine import CLIENT, Machine, changes
from testinfra.host import Host

END = "2099-12-31"
TOKENS: list[dict[str, Any]] = [
    {"name": "ci", "role": "admin", "end": END},
    {"name": "eye", "role": "viewer", "end": END, "addresses": ["10.0.0.0/8"]},
    {"name": "scorer", "role": "scorer", "end": END},
    {"name": "foreign", "role": "admin", "end": END, "addresses": ["192.0.2.0/24", "2001:db8::/32"]},
    {"name": "old", "role": "admin", "end": END},
]
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"
LOG = "/var/log/nginx/access.log"
FILE = "/etc/trackbox/nginx/tokens.conf"


@pytest.fixture(scope="module")
def tokens(machine: Machine, host: Host) -> Iterator[dict[str, str]]:
    """Issue the tokens, and let the one named `old` expire; yield the tokens by name, and revoke all afterwards."""
    said = machine.play("--tags=users", "--extra-vars", json.dumps({"nginx_tokens": TOKENS}))
    found = {token["name"]: machine.secret(f"token_{token['name']}") for token in TOKENS}
    assert "The token ci is in " in said
    assert not any(secret in said for secret in found.values())
    # Write a past expiry time into NGINX's file, because site.yml would refuse an expired token.
    host.check_output(rf"sed -i -E '/\"(old:|:old)\"/s/,[0-9]+;/,1000000000;/' {FILE}")
    host.check_output("nginx -t -q && systemctl reload nginx && sleep 1")
    yield found
    machine.play("--tags=users")
    assert not list(machine.secrets.glob("token_*"))
    assert status(machine, f"Bearer {found['ci']}") == 401


def basic(name: str, secret: str) -> str:
    """Return the value of the header Authorization for a name and a password."""
    return f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"


def answer(machine: Machine, authorization: str, path: str = SEARCH, *options: str) -> tuple[int, str]:
    """Send a request with curl, which reads the header from standard input; return status and body."""
    command = ["curl", "--silent", "--max-time", "20", "--cacert", f"{machine.secrets}/ca.crt", "--config", "-"]
    url = path if path.startswith("https") else machine.url + path
    command += [*options, "--write-out", "\n%{http_code}", url]
    given = f'header = "Authorization: {authorization}"\n'
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True, timeout=30)
    body, _, code = done.stdout.rpartition("\n")
    return int(code), body


def status(machine: Machine, authorization: str, path: str = SEARCH, *options: str) -> int:
    """Send a request; return the HTTP status."""
    return answer(machine, authorization, path, *options)[0]


def logged(host: Host, ending: str) -> dict[str, Any]:
    """Return the last entry of NGINX's access log for a request whose path ends with `ending`."""
    found: dict[str, Any] = json.loads(host.check_output(f'grep -F \'{ending}","status"\' {LOG} | tail -n 1'))
    return found


def test_a_token_is_accepted_as_bearer_and_as_a_password_and_the_log_names_it(
    machine: Machine, host: Host, tokens: dict[str, str]
) -> None:
    headers = (f"Bearer {tokens['ci']}", f"bearer {tokens['ci']}", basic("ci", tokens["ci"]))
    for number, header in enumerate(headers):
        assert status(machine, header, f"/none/{number}") == 404
        line = logged(host, f"/none/{number}")
        assert (line["user"], line["token"], line["refused"]) == ("ci", "ci", "")


def test_mlflows_client_takes_a_token(machine: Machine, tokens: dict[str, str]) -> None:
    script = Path(__file__).with_name("client_token.py")
    nobody = {"MLFLOW_TRACKING_USERNAME": "", "MLFLOW_TRACKING_PASSWORD": ""}
    said = machine.run_python(CLIENT, str(script), MLFLOW_TRACKING_TOKEN=tokens["ci"], **nobody)
    assert "0.5" in said.split()


def test_opentelemetry_sends_traces_with_a_token(machine: Machine, tokens: dict[str, str]) -> None:
    options = ["--request", "POST", "--header", "Content-Type: application/x-protobuf"]
    code, said = answer(
        machine, f"Bearer {tokens['ci']}", "/v1/traces", *options, "--header", "x-mlflow-experiment-id: 0"
    )
    # NGINX must accept the token. MLflow may refuse the request, because it contains no spans.
    assert code in (200, 400, 422), said
    assert "MLFLOW_TRACKING_USERNAME" not in said


@pytest.mark.parametrize(
    ("name", "method", "path", "wanted"),
    [
        ("eye", "GET", SEARCH, 200),
        ("eye", "POST", "/api/2.0/mlflow/runs/create", 403),
        ("eye", "DELETE", "/api/2.0/mlflow-artifacts/artifacts/x", 403),
        ("scorer", "GET", SEARCH, 403),
        ("scorer", "GET", "/minio/", 403),
        ("scorer", "GET", "/serving/fraud/ping", 503),
        ("ci", "GET", "/ajax-api/3.0/mlflow/assistant/providers", 403),
    ],
)
def test_a_token_may_do_no_more_than_its_role(
    machine: Machine, tokens: dict[str, str], attacks: Counter[str], name: str, method: str, path: str, wanted: int
) -> None:
    for header in (f"Bearer {tokens[name]}", basic(name, tokens[name])):
        attacks["network"] += 1
        found = status(machine, header, path, "--request", method)
        # The ping gets 200 if a version of the model is served, otherwise 503. With both, NGINX has accepted the token.
        assert found == wanted or (wanted == 503 and found == 200)


def test_a_token_that_is_not_good_gets_401_and_the_log_says_why(
    machine: Machine, host: Host, tokens: dict[str, str], attacks: Counter[str]
) -> None:
    ci = tokens["ci"]
    unknown, other, foreign, ended = (
        "is unknown",
        "does not belong to this name.",
        "is not for this address.",
        "has ended.",
    )
    refused = {
        f"Bearer {ci[:-1]}{'a' if ci[-1] != 'a' else 'b'}": other,
        f"Bearer {ci}x": other,
        f"Bearer {ci[:31]}": other,
        f"Bearer {ci} {ci}": other,
        f"Bearer {ci[:8]}{tokens['eye'][8:]}": other,
        "Bearer " + "A" * 32: unknown,
        "Bearer " + "A" * 6000: unknown,
        "Bearer ": unknown,
        f"Bearer {base64.b64encode(f'ci:{ci}'.encode()).decode()}": unknown,
        basic("eye", ci): other,
        basic("ci", tokens["eye"]): other,
        basic("ci", ""): other,
        basic("admin", ci): other,
        basic("CI", ci): "",
        basic("", ci): "",
        f"Basic {ci}": "",
        f"Bearer {tokens['foreign']}": foreign,
        basic("foreign", tokens["foreign"]): foreign,
        f"Bearer {tokens['old']}": ended,
        basic("old", tokens["old"]): ended,
    }
    for number, (header, why) in enumerate(refused.items()):
        attacks["network"] += 1
        code, body = answer(machine, header, f"/refused/{number}")
        assert code == 401, why
        assert why not in body or not why
        line = logged(host, f"/refused/{number}")
        assert (line["status"], line["token"]) == (401, "")
        assert line["refused"].startswith(f"The token {why}") if why else not line["refused"], line


def test_a_token_opens_nothing_at_s3(machine: Machine, tokens: dict[str, str], attacks: Counter[str]) -> None:
    for header in (f"Bearer {tokens['ci']}", basic("ci", tokens["ci"])):
        attacks["network"] += 1
        assert status(machine, header, f"{machine.url}:9443/datasets") in (400, 403)


def test_no_file_of_the_machine_has_a_token(machine: Machine, host: Host, tokens: dict[str, str]) -> None:
    for secret in tokens.values():
        found = host.run("grep -rlF -e %s /etc /var/log /var/lib/trackbox /run/systemd", secret)
        assert found.stdout == ""


def test_a_second_run_changes_nothing(machine: Machine, tokens: dict[str, str]) -> None:
    options = ("--tags=users", "--extra-vars", json.dumps({"nginx_tokens": TOKENS}))
    # The first run restores the expiry time of the token `old`, which the fixture has changed in NGINX's file.
    assert changes(machine.play(*options))
    assert changes(machine.play(*options)) == []
    assert {name: machine.secret(f"token_{name}") for name in tokens} == tokens
