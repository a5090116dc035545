"""Responses and errors. An error is one sentence in the protocol's format, without stack trace or the caller's data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

Headers = list[tuple[bytes, bytes]]

#: MLflow's error codes for HTTP statuses.
CODES = {
    400: "BAD_REQUEST",
    404: "ENDPOINT_NOT_FOUND",
    405: "BAD_REQUEST",
    409: "INVALID_STATE",
    413: "INVALID_PARAMETER_VALUE",
    415: "BAD_REQUEST",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}


class RefusedError(Exception):
    """The request gets an error response instead of a result.

    Attributes:
        status: HTTP status.
        message: one sentence. It may name columns of the signature, but contains nothing that the caller sent.
        code: MLflow's error code. By default the usual code for the status.

    """

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code or CODES.get(status, "BAD_REQUEST")


@dataclass
class Answer:
    """A complete HTTP response."""

    status: int
    body: bytes
    kind: bytes = b"application/json"
    headers: Headers = field(default_factory=list)


def json_answer(value: Any, status: int = 200) -> Answer:
    """Return a response with a value as JSON."""
    return Answer(status, orjson.dumps(value))


def error_answer(refused: RefusedError, inference_protocol: bool) -> Answer:
    """Return an error in MLflow's form, or in that of the Open Inference Protocol."""
    if inference_protocol:
        answer = json_answer({"error": refused.message}, refused.status)
    else:
        answer = json_answer({"error_code": refused.code, "message": refused.message}, refused.status)
    if refused.status == 503:
        answer.headers.append((b"retry-after", b"1"))
    return answer
