"""Limits of what one request may cost a worker of MLflow.

- OpenTelemetry's clients may send traces compressed. MLflow decompresses without a limit: 300 kB can become 300 MB.
- A large search takes 150 times its size in memory, and a processor for seconds: the worker for large requests
  answers one at a time.
- A worker that has reached its limit of memory (LimitDATA in its unit) says so to its client, and is replaced.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import zlib
from collections.abc import Mapping
from typing import Any

from answers import Application, Message, Receive, Send, answer, body

TRACES = "/v1/traces"
GZIP, ZLIB, RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
FULL = "This request needs more memory than a worker of MLflow may take. Ask for fewer results, or send a smaller body."


class TooLargeError(Exception):
    """A body is larger than the limit once it is decompressed."""


class Limits:
    """Stands before the guard.

    settings: TRACKBOX_* variables, as the unit sets them. at_once: how many requests are answered at once.
    """

    def __init__(self, application: Application, settings: Mapping[str, str], at_once: int = 1_000_000) -> None:
        self.application = application
        self.largest = int(settings["TRACKBOX_MAX_REQUEST"])
        self.places = asyncio.Semaphore(at_once)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request, or the server's start and end."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        await self.places.acquire()
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            if not begun:
                # The answer is made. A client that reads it slowly holds up nobody.
                begun = True
                self.places.release()
            await send(message)

        try:
            if encoding := compression(scope):
                scope, receive = await self.decompressed(scope, receive, encoding)
            await self.application(scope, receive, sent)
        except TooLargeError:
            why = f"Once it is decompressed, this request is larger than {self.largest >> 20} MB"
            await answer(sent, 413, f"{why} (trackbox_max_request_mb).")
        except zlib.error as error:
            await answer(sent, 400, f"The body cannot be decompressed: {error}")
        except MemoryError:
            leave()
            if begun:
                raise
            await answer(sent, 503, FULL)
        finally:
            if not begun:
                self.places.release()

    async def decompressed(
        self, scope: dict[str, Any], receive: Receive, encoding: bytes
    ) -> tuple[dict[str, Any], Receive]:
        """Read a compressed body; return the request as if it had come without compression."""
        parts = []
        more = True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        body = await asyncio.to_thread(decompress, b"".join(parts), encoding, self.largest)
        left = [header for header in scope["headers"] if header[0] not in (b"content-encoding", b"content-length")]
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def received() -> Message:
            return next(given, None) or await receive()

        return {**scope, "headers": [*left, (b"content-length", str(len(body)).encode())]}, received


def compression(scope: Mapping[str, Any]) -> bytes:
    """Return how the body is compressed, where MLflow would decompress it; nothing elsewhere."""
    if not scope["path"].startswith(TRACES):
        return b""
    said = [value.strip().lower() for name, value in scope["headers"] if name == b"content-encoding"]
    return next((one for one in said if one in (b"gzip", b"deflate")), b"")


def decompress(body: bytes, encoding: bytes, largest: int) -> bytes:
    """Return the body without its compression; TooLargeError if that has more than `largest` bytes.

    zlib.error: the body is not compressed so. As MLflow does it: gzip may have several members, and deflate may come
    without zlib's header.
    """
    if encoding == b"deflate":
        try:
            return inflate(body, ZLIB, largest)
        except zlib.error:
            return inflate(body, RAW, largest)
    return inflate(body, GZIP, largest)


def inflate(body: bytes, form: int, largest: int) -> bytes:
    """Return what zlib makes of all members of the body. form: zlib's `wbits`."""
    found: list[bytes] = []
    size = 0
    while body:
        stream = zlib.decompressobj(form)
        found.append(stream.decompress(body, largest - size + 1))
        size += len(found[-1])
        if size > largest:
            raise TooLargeError
        if not stream.eof:
            raise zlib.error("it is cut off")
        # After the last member, gzip's files may be padded with zeros.
        body = stream.unused_data.lstrip(b"\0") if form == GZIP else b""
    return b"".join(found)


def leave() -> None:
    """Let the supervisor replace this worker, once it has answered what it has begun."""
    print("this worker has reached its limit of memory, and is replaced", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)


def answer_memory_errors(application: Any) -> None:
    """Let a Flask application answer a lack of memory by a server's error: its own answer would be a page.

    A statement that lacks memory would be the client's fault (400) for MLflow, which cannot tell it from a bad value.
    """
    from flask import Response
    from sqlalchemy import Engine, ExceptionContext, event

    def answered(_: MemoryError) -> Any:
        leave()
        return Response(body(503, FULL), 503, mimetype="application/json")

    def raise_as_it_was(context: ExceptionContext) -> None:
        if isinstance(context.original_exception, MemoryError):
            leave()
            raise MemoryError(FULL)

    application.register_error_handler(MemoryError, answered)
    event.listen(Engine, "handle_error", raise_as_it_was)
