"""Error responses in MLflow's own form."""

from __future__ import annotations

import json

from trackbox_mlflow.asgi.types import Send

CODES = {
    400: "BAD_REQUEST",
    413: "INVALID_PARAMETER_VALUE",
    503: "TEMPORARILY_UNAVAILABLE",
    507: "RESOURCE_EXHAUSTED",
}


def error_body(status: int, message: str) -> bytes:
    """Return the body of an error response."""
    return json.dumps({"error_code": CODES[status], "message": message}).encode()


async def send_error(send: Send, status: int, message: str) -> None:
    """Send a complete error response."""
    body = error_body(status, message)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
