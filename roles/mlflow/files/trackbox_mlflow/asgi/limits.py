"""Limits the memory and the CPU time that one request may take from a worker.

- Compressed traces of OpenTelemetry's clients are refused if they are too large once decompressed. MLflow itself has
  no limit, so 300 kB can become 300 MB.
- The worker for large requests serves one request at a time, because a large search takes 150 times its size in
  memory, and uses a CPU core for seconds.
- A GET request with a long body is refused, because MLflow would read the body. Over HTTP/2, the body may have no
  Content-Length, and then NGINX cannot send the request to the worker for large requests.
- Only a PUT request of an artifact may have a long body. NGINX has no limit for bodies at this address, and MLflow
  would read the whole body of a DELETE or POST request into memory.
- A worker that reaches its memory limit (LimitDATA in its unit) answers 503, and is replaced.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import zlib
from collections.abc import Mapping
from typing import Any

from trackbox_mlflow.asgi.answers import error_body, send_error
from trackbox_mlflow.asgi.types import Application, Message, Receive, Scope, Send

TRACES = "/v1/traces"
GZIP, ZLIB, RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
OUT_OF_MEMORY = (
    "This request needs more memory than a worker of MLflow may take. Ask for fewer results, or send a smaller body."
)
UNLIMITED = 1_000_000
ARTIFACTS = "/mlflow-artifacts/artifacts/"
# The longest body of a request that needs none, in bytes. MLflow's clients put the parameters into the URL instead.
LONGEST_SHORT = 10_000
LONG_GET = "The body of this GET request is too large: send its parameters in the address."
LONG_ARTIFACT = "The body of this request is too large: an artifact can be uploaded by PUT only."


class TooLargeError(Exception):
    """A body is too large. Its message tells the client why."""


class Limits:
    """Middleware that limits requests. max_request: the largest decompressed body, in bytes.

    at_once: how many requests are served at the same time; 0 is no limit.
    """

    def __init__(self, application: Application, max_request: int, at_once: int = 0) -> None:
        self.application, self.max_request = application, max_request
        self.slots = asyncio.Semaphore(at_once or UNLIMITED)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Pass on ASGI's events for the start and the end of the server."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        refusal = needs_no_body(scope)
        if refusal and has_long_body(scope):
            await send_error(send, 413, refusal)
            return
        await self.slots.acquire()
        started = False

        async def sent(message: Message) -> None:
            nonlocal started
            if not started:
                # Release the slot when the response begins, so that a client that reads slowly does not occupy it.
                started = True
                self.slots.release()
            await send(message)

        try:
            if encoding := compression(scope):
                scope, receive = await self.decompressed(scope, receive, encoding)
            if refusal:
                receive = await short_body(receive, refusal)
            await self.application(scope, receive, sent)
        except TooLargeError as error:
            await send_error(sent, 413, str(error))
        except zlib.error as error:
            await send_error(sent, 400, f"The body cannot be decompressed: {error}")
        except MemoryError:
            stop_worker()
            if started:
                raise
            await send_error(sent, 503, OUT_OF_MEMORY)
        finally:
            if not started:
                self.slots.release()

    async def decompressed(self, scope: Scope, receive: Receive, encoding: bytes) -> tuple[Scope, Receive]:
        """Read a compressed body; return the request as if it had been sent uncompressed."""
        parts = []
        more = True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        body = await asyncio.to_thread(decompress, b"".join(parts), encoding, self.max_request)
        left = [header for header in scope["headers"] if header[0] not in (b"content-encoding", b"content-length")]
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def received() -> Message:
            return next(given, None) or await receive()

        return {**scope, "headers": [*left, (b"content-length", str(len(body)).encode())]}, received


def needs_no_body(scope: Mapping[str, Any]) -> str:
    """Return the error message for a long body if this request needs no body; empty if it may have a long one."""
    if scope["method"] in ("GET", "HEAD"):
        return LONG_GET
    return LONG_ARTIFACT if ARTIFACTS in scope["path"] and scope["method"] != "PUT" else ""


def has_long_body(scope: Mapping[str, Any]) -> bool:
    """Return whether a request's Content-Length is too large for a request that needs no body."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length" and value.isdigit()]
    return any(int(length) > LONGEST_SHORT for length in lengths)


async def short_body(receive: Receive, refusal: str) -> Receive:
    """Read a short body, whose length may be unknown; return a `receive` that gives it to the application.

    TooLargeError: the body is too large. refusal: the message of this error.
    """
    messages: list[Message] = []
    size, more = 0, True
    while more:
        messages.append(message := await receive())
        size += len(message.get("body", b""))
        if size > LONGEST_SHORT:
            raise TooLargeError(refusal)
        more = message.get("more_body", False)
    given = iter(messages)

    async def received() -> Message:
        return next(given, None) or await receive()

    return received


def compression(scope: Mapping[str, Any]) -> bytes:
    """Return the encoding of a body that MLflow would decompress; empty for any other."""
    if not scope["path"].startswith(TRACES):
        return b""
    encodings = [value.strip().lower() for name, value in scope["headers"] if name == b"content-encoding"]
    return next((encoding for encoding in encodings if encoding in (b"gzip", b"deflate")), b"")


def decompress(body: bytes, encoding: bytes, limit: int) -> bytes:
    """Return the decompressed body. Like MLflow, accept gzip with several members, and deflate without zlib's header.

    TooLargeError: the result has more than `limit` bytes. zlib.error: the body does not have this encoding.
    """
    if encoding == b"deflate":
        try:
            return inflate(body, ZLIB, limit)
        except zlib.error:
            return inflate(body, RAW, limit)
    return inflate(body, GZIP, limit)


def inflate(body: bytes, form: int, limit: int) -> bytes:
    """Return the decompressed body, with all members of a gzip file. form: zlib's `wbits`."""
    found: list[bytes] = []
    size = 0
    while body:
        stream = zlib.decompressobj(form)
        found.append(stream.decompress(body, limit - size + 1))
        size += len(found[-1])
        if size > limit:
            why = f"Once it is decompressed, this request is larger than {limit >> 20} MB (trackbox_max_request_mb)."
            raise TooLargeError(why)
        if not stream.eof:
            raise zlib.error("it is cut off")
        # Gzip files may be padded with zeros after the last member.
        body = stream.unused_data.lstrip(b"\0") if form == GZIP else b""
    return b"".join(found)


def stop_worker() -> None:
    """Stop this worker after its current requests, so that the supervisor starts a new one."""
    print("this worker has reached its limit of memory, and is replaced", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)


def answer_memory_errors(application: Any) -> None:
    """Let a Flask application answer MemoryError by 503 in JSON, instead of an HTML page.

    If a SQL statement fails for lack of memory, MLflow would answer 400, as if the client's values were wrong. So the
    error is raised again as a MemoryError, which MLflow does not handle.
    """
    from flask import Response
    from sqlalchemy import Engine, ExceptionContext, event

    def out_of_memory(_: MemoryError) -> Any:
        stop_worker()
        return Response(error_body(503, OUT_OF_MEMORY), 503, mimetype="application/json")

    def reraise(context: ExceptionContext) -> None:
        if isinstance(context.original_exception, MemoryError):
            stop_worker()
            raise MemoryError(OUT_OF_MEMORY)

    application.register_error_handler(MemoryError, out_of_memory)
    event.listen(Engine, "handle_error", reraise)
