"""Request smuggling: a second request inside a message never reaches a service behind NGINX."""

from collections import Counter

import pytest
from machine import Machine
from raw_http import attack, exchange, is_refusal

INNER = "GET /api/2.0/mlflow/experiments/search?max_results=1 HTTP/1.1\r\nHost: 127.0.0.1:5000\r\n\r\n"
OUTER = "POST {path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n{body}"

FRAMINGS = {
    "CL.TE": ("Content-Length: {cl}\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
    "TE.CL": ("Transfer-Encoding: chunked\r\nContent-Length: 4", "0\r\n\r\n"),
    "TE.TE": ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n"),
    "TE with a blank": ("Transfer-Encoding : chunked\r\nContent-Length: {cl}", "0\r\n\r\n"),
    "TE with a tab": ("Transfer-Encoding:\tchunked\r\nContent-Length: {cl}", "0\r\n\r\n"),
    "TE with x": ("Transfer-Encoding: xchunked\r\nContent-Length: {cl}", "0\r\n\r\n"),
    "TE with a comma": ("Transfer-Encoding: chunked, identity", "0\r\n\r\n"),
    "two lengths": ("Content-Length: 0\r\nContent-Length: {cl}", ""),
    "a length with a sign": ("Content-Length: +0", ""),
    "a length in a list": ("Content-Length: 0, {cl}", ""),
    "no length": ("X: y", ""),
    "length 0": ("Content-Length: 0", ""),
    "a chunk's extension": ("Transfer-Encoding: chunked", "0;x=\r\n\r\n"),
    "a chunk with a bare line feed": ("Transfer-Encoding: chunked", "0\n\n"),
    "a folded header": ("X: y\r\n Content-Length: {cl}", ""),
    "a bare line feed": ("X: y\nContent-Length: {cl}", ""),
    "a bare carriage return": ("X: y\rContent-Length: {cl}", ""),
    "a NUL": ("X: y\x00Content-Length: {cl}", ""),
    "a huge chunk": ("Transfer-Encoding: chunked", "ffffffffffffffff0\r\n\r\n"),
}


@pytest.mark.parametrize("framing", FRAMINGS)
def test_no_service_answers_a_request_inside_another(machine: Machine, attacks: Counter[str], framing: str) -> None:
    headers, start = FRAMINGS[framing]
    requests = []
    for path in ("/healthz", "/", "/minio/", "/static-files/x", "/-/mlflow"):
        body = start + INNER
        outer = OUTER.format(path=path, framing=headers.format(cl=len(body)), body=body)
        requests.append(outer.encode("latin-1"))
    answers = attack(machine, attacks, requests)
    # Ignore the responses of /healthz, which sends 200 and an empty body without a password.
    assert [line for line in answers if " -> 200 b''" not in line] == []


def test_a_request_after_a_health_check_needs_a_password(machine: Machine, attacks: Counter[str]) -> None:
    attacks["network"] += 1
    first, *others = exchange(machine, f"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n{INNER}".encode())
    assert (first.status, first.body) == (200, b"")
    assert others
    assert all(is_refusal(reply) for reply in others)


def test_an_upgrade_opens_no_tunnel(machine: Machine, attacks: Counter[str]) -> None:
    settings = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"
    socket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGVzdA=="
    for upgrade in (settings, socket):
        for path in ("/healthz", "/", "/minio/ws/objectManager"):
            attacks["network"] += 1
            sent = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n\r\n{INNER}".encode()
            replies = exchange(machine, sent)
            assert all(reply.status != 101 for reply in replies)
            assert all(is_refusal(reply) for reply in replies if reply.status != 200 or reply.body)
