"""What the programs before MLflow's application share: ASGI's types, and an answer in MLflow's own form."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

CODES = {
    400: "BAD_REQUEST",
    413: "INVALID_PARAMETER_VALUE",
    503: "TEMPORARILY_UNAVAILABLE",
    507: "RESOURCE_EXHAUSTED",
}


def body(status: int, why: str) -> bytes:
    """Return the body of an answer that refuses a request."""
    return json.dumps({"error_code": CODES[status], "message": why}).encode()


async def answer(send: Send, status: int, why: str) -> None:
    """Send a whole answer, in MLflow's own form."""
    text = body(status, why)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
