"""The outermost layer of the application: request identifiers, the limit of waiting requests, metrics and errors."""

from __future__ import annotations

import sys
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from trackbox_serving.bodies.reading import read_body
from trackbox_serving.web import metrics
from trackbox_serving.web.answers import Answer, RefusedError, error_answer
from trackbox_serving.web.draining import Draining
from trackbox_serving.web.service import Service

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class Call:
    """A request whose body was read.

    Attributes:
        method: HTTP method.
        path: decoded path.
        query: raw query string.
        kind: content type of the body.
        body: decompressed body.
        request_id: identifier from NGINX, or our own.
        user: user who sent the request, from NGINX.
        began: time.perf_counter() at the start of the request.

    """

    method: str
    path: str
    query: bytes
    kind: str
    body: bytes
    request_id: str
    user: str
    began: float


#: A function that answers a call, or raises RefusedError.
Handler = Callable[[Call], Awaitable[Answer]]
#: A function that returns a path's handlers by method and the path's label in the metrics, or None if it is unknown.
Router = Callable[[str], tuple[dict[str, Handler], str] | None]


class Envelope:
    """The ASGI application of one process. `route` finds the handlers of a path."""

    def __init__(self, service: Service, route: Router, draining: Draining) -> None:
        self.service, self.route, self.draining = service, route, draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or handle the server's start and stop."""
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = identifier(headers.get(b"x-request-id", b""))
        name = "other"
        metrics.IN_PROGRESS.inc()
        try:
            if found := self.route(scope["path"]):
                name = found[1]
            answer = await self.answer(scope, receive, headers, found[0] if found else None, request_id, began)
        except RefusedError as refused:
            answer = error_answer(refused, scope["path"].startswith("/v2"))
        except MemoryError:
            answer = error_answer(RefusedError(503, "This request needs more memory than there is."), False)
        except Exception as error:
            # Log the error's type and place, but not its message, which may contain the caller's data.
            places = "".join(traceback.format_tb(error.__traceback__))
            print(f"request {request_id} failed: {type(error).__name__}\n{places}", file=sys.stderr, flush=True)
            answer = error_answer(RefusedError(500, "The server failed; its log has the request's identifier."), False)
        finally:
            metrics.IN_PROGRESS.dec()
        metrics.REQUESTS.labels(name, str(answer.status)).inc()
        metrics.SECONDS.labels(name).observe(time.perf_counter() - began)
        sent = [
            (b"content-type", answer.kind),
            (b"content-length", str(len(answer.body)).encode()),
            (b"x-model-version", self.service.about.version.encode()),
            (b"x-request-id", request_id.encode()),
            *answer.headers,
        ]
        if self.draining.began:
            sent.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": sent})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    async def answer(
        self,
        scope: Scope,
        receive: Receive,
        headers: dict[bytes, bytes],
        handlers: dict[str, Handler] | None,
        request_id: str,
        began: float,
    ) -> Answer:
        """Call the handler with the body. Raise RefusedError for an unknown path or method, or too many requests."""
        if handlers is None:
            raise RefusedError(404, "There is no such path; /docs lists the paths of this model.")
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if method not in handlers:
            raise RefusedError(405, f"This path takes {' and '.join(handlers)} only.")
        posted = method == "POST"
        if posted and self.service.waiting >= self.service.settings.max_waiting:
            metrics.REFUSED.labels("waiting").inc()
            raise RefusedError(503, "Too many requests are waiting (max_waiting): send this one again in a second.")
        self.service.waiting += posted
        try:
            body = b""
            if posted:
                body = await self.read(scope, receive)
            call = Call(
                method=method,
                path=scope["path"],
                query=scope["query_string"],
                kind=headers.get(b"content-type", b"").decode("latin-1"),
                body=body,
                request_id=request_id,
                user=headers.get(b"x-forwarded-user", b"").decode("utf-8", "replace"),
                began=began,
            )
            return await handlers[method](call)
        finally:
            self.service.waiting -= posted

    async def read(self, scope: Scope, receive: Receive) -> bytes:
        """Read the body. Raise RefusedError if it is too large or broken."""
        try:
            return await read_body(scope["headers"], receive, self.service.settings.max_body_mb << 20)
        except RefusedError as refused:
            if refused.status == 413:
                metrics.REFUSED.labels("body").inc()
            raise

    async def live(self, receive: Receive, send: Send) -> None:
        """Start and stop the threads of the process."""
        await receive()
        self.draining.watch()
        self.service.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.service.stop()
        await send({"type": "lifespan.shutdown.complete"})


def identifier(given: bytes) -> str:
    """Return NGINX's identifier of a request, or a new one if it is missing or not safe for headers and logs."""
    text = given.decode("latin-1")
    return text if 0 < len(text) <= 128 and text.isascii() and text.isprintable() else uuid.uuid4().hex
