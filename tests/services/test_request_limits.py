"""The size limit counts the decompressed body of a trace, and large requests are processed one at a time."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import Any

import pytest
from trackbox_mlflow.asgi.limits import LONG_ARTIFACT, Limits, TooLargeError, decompress
from trackbox_mlflow.asgi.types import Message, Receive, Send

MAX_REQUEST = 2**20


def raw(data: bytes) -> bytes:
    """Compress with raw deflate, without zlib's header."""
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(b"spans"), b"gzip"),
        (gzip.compress(b"sp") + gzip.compress(b"ans") + b"\0\0", b"gzip"),
        (zlib.compress(b"spans"), b"deflate"),
        (raw(b"spans"), b"deflate"),
    ],
)
def test_what_mlflow_decompresses_is_decompressed(body: bytes, encoding: bytes) -> None:
    assert decompress(body, encoding, 5) == b"spans"
    with pytest.raises(TooLargeError):
        decompress(body, encoding, 4)


def test_many_members_count_together() -> None:
    with pytest.raises(TooLargeError):
        decompress(gzip.compress(bytes(100)) * 100, b"gzip", 5000)


@pytest.mark.parametrize(
    ("body", "encoding"), [(b"spans", b"gzip"), (gzip.compress(b"spans")[:-9], b"gzip"), (b"x", b"deflate")]
)
def test_what_is_no_compressed_body_is_an_error(body: bytes, encoding: bytes) -> None:
    with pytest.raises(zlib.error):
        decompress(body, encoding, 100)


def ask(
    limits: Limits, body: bytes, *headers: tuple[bytes, bytes], path: str = "/v1/traces", method: str = "POST"
) -> tuple[int, bytes]:
    """Send a request; return status and body of the response."""
    given: list[Message] = [
        {"type": "http.request", "body": body[:10], "more_body": True},
        {"type": "http.request", "body": body[10:]},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return given.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
    asyncio.run(limits(scope, receive, send))
    return sent[0]["status"], sent[1]["body"]


async def echo(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Respond with the request's body and headers."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body + str(sorted(scope["headers"])).encode()})


def test_mlflow_gets_the_body_without_its_compression() -> None:
    bomb = gzip.compress(b"s" * 100)
    assert ask(Limits(echo, MAX_REQUEST), bomb, (b"content-encoding", b"GZIP"), (b"content-length", b"1")) == (
        200,
        b"s" * 100 + b"[(b'content-length', b'100')]",
    )


@pytest.mark.parametrize("headers", [[b"gzip"], [b"identity", b"gzip"], [b"gzip", b"identity"]])
def test_a_bomb_is_refused_whatever_stands_beside_it(headers: list[bytes]) -> None:
    status, body = ask(
        Limits(echo, MAX_REQUEST), gzip.compress(bytes(2**21)), *((b"content-encoding", one) for one in headers)
    )
    assert (status, b"this request is larger than 1 MB" in body) == (413, True)


def test_what_mlflow_would_not_decompress_stays_as_it_is() -> None:
    body = gzip.compress(bytes(2**21))
    assert ask(Limits(echo, MAX_REQUEST), body, (b"content-encoding", b"gzip"), path="/graphql")[1].startswith(body)


def test_a_broken_body_is_the_clients_fault() -> None:
    assert ask(Limits(echo, MAX_REQUEST), b"no gzip at all", (b"content-encoding", b"gzip"))[0] == 400


@pytest.mark.parametrize(
    ("method", "length", "status"),
    [("GET", 20_000, 413), ("HEAD", 20_000, 413), ("GET", 9_000, 200), ("POST", 20_000, 200)],
)
def test_a_get_request_has_no_long_body(method: str, length: int, status: int) -> None:
    header = (b"content-length", str(length).encode())
    assert ask(Limits(echo, MAX_REQUEST), bytes(length), header, path="/graphql", method=method)[0] == status


@pytest.mark.parametrize(
    ("method", "size", "status"),
    [
        ("DELETE", 20_000, 413),
        ("POST", 20_000, 413),
        ("PATCH", 20_000, 413),
        ("DELETE", 9_000, 200),
        ("PUT", 20_000, 200),
    ],
)
@pytest.mark.parametrize("api", ["api", "ajax-api"])
@pytest.mark.parametrize("known", [True, False])
def test_only_a_put_request_of_an_artifact_has_a_long_body(
    api: str, method: str, size: int, status: int, known: bool
) -> None:
    headers = [(b"content-length", str(size).encode())] if known else []
    path = f"/{api}/2.0/mlflow-artifacts/artifacts/0/x"
    answered, body = ask(Limits(echo, MAX_REQUEST), bytes(size), *headers, path=path, method=method)
    assert answered == status
    if status == 413:
        assert json.loads(body) == {"error_code": "INVALID_PARAMETER_VALUE", "message": LONG_ARTIFACT}
    else:
        assert body.startswith(bytes(size))


def test_a_get_request_without_a_length_has_no_long_body() -> None:
    assert ask(Limits(echo, MAX_REQUEST), bytes(20_000), path="/graphql", method="GET")[0] == 413


def test_a_lack_of_memory_is_answered_and_the_worker_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[bool] = []
    monkeypatch.setattr("trackbox_mlflow.asgi.limits.stop_worker", lambda: left.append(True))

    async def hungry(*_: object) -> None:
        raise MemoryError

    status, body = ask(Limits(hungry, MAX_REQUEST), b"")
    assert (status, b"more memory" in body, left) == (503, True, [True])


def test_large_requests_are_answered_one_at_a_time_and_a_slow_reader_holds_up_nobody() -> None:
    running: list[int] = []

    async def slow(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        running.append(1)
        assert sum(running) == 1
        await asyncio.sleep(0.01)
        running.append(-1)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        # While this client reads its response, the next request is processed.
        await asyncio.sleep(0.05)
        await send({"type": "http.response.body", "body": b""})

    async def all_of_them() -> float:
        limits, loop = Limits(slow, MAX_REQUEST, at_once=1), asyncio.get_running_loop()
        began = loop.time()

        async def nothing(*_: object) -> Any:
            return {}

        scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
        await asyncio.gather(*(limits(dict(scope), nothing, nothing) for _ in range(10)))
        return loop.time() - began

    assert asyncio.run(all_of_them()) < 0.4
