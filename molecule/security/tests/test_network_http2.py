"""NGINX refuses the same requests by HTTP/2 as by HTTP/1.1, and limits the resources of each HTTP/2 connection."""

from __future__ import annotations

import base64
import json
import re
import struct
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from machine import Machine
from raw_http import connect, is_refusal
from raw_http2 import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    Answers,
    Connection,
    Fields,
    block,
    fields,
    frame,
)
from spellings import METHODS, MLFLOW, spellings
from testinfra.host import Host

MEMORY = "ps -o rss= -C nginx | awk '{sum += $1} END {print sum}'"
SEARCH = "/api/2.0/mlflow/runs/search"
BODY = b'{"experiment_ids": ["0"], "max_results": 1}'


@pytest.fixture
def connection(machine: Machine) -> Iterator[Connection]:
    """Yield an HTTP/2 connection."""
    made = Connection(machine)
    yield made
    made.close()


def login(machine: Machine) -> tuple[str, str]:
    """Return the header field `authorization` of the admin."""
    pair = f"admin:{machine.secret('admin_password')}".encode()
    return "authorization", f"Basic {base64.b64encode(pair).decode()}"


def is_refused(answers: Answers, stream: int) -> bool:
    """Return whether NGINX refused the request, or reset its stream, or ended the connection."""
    if stream in answers.replies:
        return is_refusal(answers.replies[stream])
    return stream in answers.resets or answers.gone or answers.ended


def test_the_front_door_speaks_http2_and_s3_does_not(machine: Machine) -> None:
    for port, spoken in ((443, "h2"), (9443, "http/1.1")):
        with connect(machine, port, ["h2", "http/1.1"]) as line:
            assert line.selected_alpn_protocol() == spoken


@pytest.mark.parametrize("path", [MLFLOW, "/", "/minio/", "/graphql", "/static-files/index.html", "/-/mlflow"])
def test_no_method_and_no_spelling_answers_without_a_password(
    machine: Machine, connection: Connection, attacks: Counter[str], path: str
) -> None:
    asked = [(method, path) for method in METHODS if method.isupper()]
    if path == MLFLOW:
        asked += [("GET", other) for other in spellings(path) if other.startswith("/")]
    passed = []
    for method, other in asked:
        attacks["network"] += 1
        stream = connection.request(fields(machine, method, other))
        answers = connection.read([stream])
        if not is_refused(answers, stream) and not other.startswith(("/healthz?", "/healthz#")):
            passed.append((method, other, answers.replies.get(stream)))
        if answers.ended or answers.gone:
            connection.close()
            connection.__init__(machine)  # type: ignore[misc]
    assert passed == []


def get(path: str, *others: tuple[str, str], **replaced: str) -> list[tuple[str, str]]:
    """Return the header fields of a GET request, with HOST in place of the machine's address.

    others: further fields; replaced: other values of pseudo-header fields.
    """
    pseudo = {"method": "GET", "scheme": "https", "path": path, "authority": "HOST"} | replaced
    return [*((f":{name}", value) for name, value in pseudo.items()), *others]


def without(name: str) -> list[tuple[str, str]]:
    """Return the header fields of a GET request without one of the pseudo-header fields."""
    return [field for field in get(MLFLOW) if field[0] != name]


# Requests that HTTP/2 forbids. HTTP/2 also forbids pseudo-header fields after other fields, but NGINX accepts these
# requests. They do no harm, so they are not in the list.
MALFORMED: dict[str, Fields] = {
    "two paths": [*get("/healthz"), (":path", MLFLOW)],
    "no path": without(":path"),
    "an empty path": get(""),
    "a path without a slash": get("healthz"),
    "two methods": [*get("/"), (":method", "POST")],
    "no method": without(":method"),
    "a request in the method": get("/", method="GET / HTTP/1.1\r\nX: "),
    "a request in the path": get("/healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /"),
    "an unknown pseudo-field": [(":evil", "x"), *get("/")],
    "a request's :status": [(":status", "200"), *get("/")],
    "capitals in a name": get("/", ("X-Evil", "x")),
    "a line break in a value": get("/", ("x", "y\r\nhost: evil.example")),
    "a NUL in a value": get("/", ("x", "y\0z")),
    "a line break in a name": get("/", ("x\r\nhost", "y")),
    "another host beside the authority": get(MLFLOW, ("host", "evil.example")),
    "another authority beside the host": get(MLFLOW, ("host", "HOST"), authority="evil.example"),
    "a foreign authority": get(MLFLOW, authority="evil.example"),
    "neither authority nor host": without(":authority"),
    "a line break in the authority": get(MLFLOW, authority="localhost\r\nx: y"),
    "CONNECT": [(":method", "CONNECT"), (":authority", "127.0.0.1:5000")],
    "CONNECT by WebSocket": [(":protocol", "websocket"), *get("/minio/ws/x", method="CONNECT")],
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_request_is_refused_with_the_password_too(
    machine: Machine, connection: Connection, attacks: Counter[str], what: str
) -> None:
    attacks["network"] += 1
    sent = [(name, value.replace("HOST", machine.address)) for name, value in MALFORMED[what]]
    stream = connection.request([*sent, login(machine)])
    answers = connection.read([stream])
    reply = answers.replies.get(stream)
    assert reply is None or reply.status in (400, 403, 405), reply
    assert reply is not None or stream in answers.resets or answers.gone or answers.ended


@pytest.mark.parametrize(
    "extra", [("transfer-encoding", "chunked"), ("connection", "upgrade"), ("upgrade", "h2c"), ("te", "chunked")]
)
def test_a_field_of_http1_smuggles_no_second_request(
    machine: Machine, connection: Connection, attacks: Counter[str], extra: tuple[str, str]
) -> None:
    attacks["network"] += 1
    inner = f"0\r\n\r\nGET {MLFLOW} HTTP/1.1\r\nHost: 127.0.0.1:5000\r\n\r\n".encode()
    asked = fields(machine, "POST", SEARCH, login(machine), extra, ("content-type", "application/json"))
    first = connection.request(asked, inner)
    connection.read([first])
    second = connection.request(fields(machine, "GET", "/version", login(machine)))
    answers = connection.read([second])
    # MLflow must treat the inner request as a part of the body. Otherwise the second request would get the response to
    # the inner request.
    assert answers.replies[first].body == b"{}"
    assert re.fullmatch(rb"[0-9.]+", answers.replies[second].body)


@pytest.mark.parametrize("length", ["0", "5", "5000"])
def test_a_wrong_length_is_refused(
    machine: Machine, connection: Connection, attacks: Counter[str], length: str
) -> None:
    attacks["network"] += 1
    stream = connection.request(fields(machine, "POST", SEARCH, login(machine), ("content-length", length)), BODY)
    answers = connection.read([stream])
    assert stream not in answers.replies or answers.replies[stream].status == 400
    assert stream in answers.replies or stream in answers.resets


def test_a_long_body_without_a_length_goes_to_the_worker_for_large_requests_or_is_refused(
    machine: Machine, connection: Connection, host: Host
) -> None:
    # MLflow refuses the long filter with 400. The test accepts this status from every worker, because NGINX's log does
    # not show which worker got the request.
    body = BODY[:-1] + b', "filter": "' + b"x" * 20_000 + b'"}'
    seen = {}
    for method in ("POST", "GET"):
        stream = connection.request(fields(machine, method, SEARCH, login(machine)), body)
        seen[method] = connection.read([stream]).replies[stream].status
    assert seen == {"POST": 400, "GET": 413}


def test_streams_beyond_the_limit_are_refused(machine: Machine, connection: Connection, attacks: Counter[str]) -> None:
    attacks["network"] += 1
    asked = fields(machine, "POST", SEARCH, login(machine), ("content-length", "10"))
    for number in range(200):
        connection.send(frame(HEADERS, END_HEADERS, 1 + 2 * number, block(asked)))
    answers = connection.read(seconds=2)
    refused = [code for code in answers.resets.values() if code == REFUSED_STREAM]
    assert len(refused) >= 200 - 128, Counter(answers.resets.values())


def test_a_rapid_reset_begins_no_more_requests_than_one_user_may_have(
    machine: Machine, host: Host, attacks: Counter[str]
) -> None:
    """CVE-2023-44487: the client resets each request at once, so the limit of concurrent streams does not count it."""
    log = "/var/log/nginx/access.log"
    before = host.check_output(f"wc -l <{log}")
    connection = Connection(machine)
    asked = block(fields(machine, "GET", "/api/2.0/mlflow/experiments/search?max_results=1000", login(machine)))
    attacks["network"] += 240
    resets = [
        frame(HEADERS, END_HEADERS | END_STREAM, stream, asked) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
        for stream in range(1, 480, 2)
    ]
    connection.send(b"".join(resets))
    connection.read(seconds=5)
    connection.close()
    lines = host.check_output(f"tail -n +{int(before) + 1} {log}").splitlines()
    mine = Counter(line["status"] for line in map(json.loads, lines) if "experiments/search" in line["path"])
    # A user may have 128 requests at once. Some requests ended before the last one arrived, so NGINX accepted more than
    # 128.
    assert 100 < mine.total() < 160, mine


def test_a_connection_is_good_for_a_thousand_requests(machine: Machine, attacks: Counter[str]) -> None:
    connection = Connection(machine)
    asked = block(fields(machine, "GET", "/version"))
    for start in range(1, 2101, 100):
        attacks["network"] += 50
        streams = range(start, start + 100, 2)
        connection.send(b"".join(frame(HEADERS, END_HEADERS | END_STREAM, stream, asked) for stream in streams))
        answers = connection.read(streams)
    assert answers.gone
    assert len(answers.replies) <= 1000
    connection.close()


def test_endless_headers_end_the_connection(machine: Machine, host: Host, attacks: Counter[str]) -> None:
    """The client sends CONTINUATION frames without end, so the headers never end (CERT VU#421644)."""
    before = int(host.check_output(MEMORY))
    for payload in (block([("x", "y" * 8000)]), block([("x", "y")]), b""):
        attacks["network"] += 1
        connection = Connection(machine)
        connection.send(frame(HEADERS, 0, 1, block(fields(machine, "GET", "/"))))
        count = 0
        # NGINX ends a connection after 8 MB of frames without content.
        while count < 2_000_000 and connection.send(frame(CONTINUATION, 0, 1, payload) * 500):
            count += 500
        answers = connection.read(seconds=20)
        assert answers.ended or answers.gone or 1 in answers.resets or 1 in answers.replies, f"{len(payload)} bytes"
        connection.close()
    assert int(host.check_output(MEMORY)) < before + 20_000


FLOODS = {
    "settings": frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)),
    "pings": frame(PING, 0, 0, b"12345678"),
    "empty data": frame(DATA, 0, 1),
    "priorities": frame(2, 0, 1, struct.pack(">IB", 0, 1)),
    "window updates": frame(8, 0, 0, struct.pack(">I", 1)),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_frames_takes_no_memory(machine: Machine, host: Host, attacks: Counter[str], flood: str) -> None:
    attacks["network"] += 1
    before = int(host.check_output(MEMORY))
    connection = Connection(machine)
    asked = fields(machine, "POST", SEARCH, login(machine), ("content-length", "10"))
    connection.send(frame(HEADERS, END_HEADERS, 1, block(asked)))
    count = 0
    # The client reads nothing, so responses to its frames would queue up in NGINX's memory.
    while count < 200_000 and connection.send(FLOODS[flood] * 1000):
        count += 1000
    assert int(host.check_output(MEMORY)) < before + 20_000
    connection.close()
    assert machine.ask("/version", user="admin", password=machine.secret("admin_password")).status == 200


def test_a_client_that_takes_nothing_blocks_nobody(machine: Machine, host: Host, attacks: Counter[str]) -> None:
    attacks["network"] += 1
    before = int(host.check_output(MEMORY))
    connection = Connection(machine, window=0)
    path = host.check_output("cd /opt/trackbox/mlflow/current && ls static-files/static/js/main.*.js")
    for _ in range(100):
        connection.request(fields(machine, "GET", f"/{path}", login(machine)))
    connection.read(seconds=1)
    began = time.monotonic()
    assert machine.ask("/version", user="training", password=machine.secret("training_password")).status == 200
    assert time.monotonic() - began < 5
    assert int(host.check_output(MEMORY)) < before + 40_000
    connection.close()


def test_an_old_client_gets_no_http2_in_clear_text(machine: Machine, attacks: Counter[str]) -> None:
    attacks["network"] += 1
    with connect(machine, 9443) as line:
        line.sendall(PREFACE + frame(SETTINGS, 0, 0))
        assert line.recv(100).startswith(b"HTTP/1.1 400")
