"""Read the body of a request, with limits."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from trackbox_serving.web.answers import RefusedError

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
GZIP = 16 + zlib.MAX_WBITS  # value of zlib's parameter `wbits` that means gzip


async def read_body(headers: Iterable[tuple[bytes, bytes]], receive: Receive, limit: int) -> bytes:
    """Return the whole body, decompressed.

    Args:
        headers: headers of the request.
        receive: ASGI's function for the next message.
        limit: maximum size in bytes, before and after decompression.

    Raises:
        RefusedError: 413 for a body over the limit, 415 for a compression other than gzip, 400 for a body that gzip
            cannot read or that ended early.

    """
    encodings = [value.strip().lower() for name, value in headers if name == b"content-encoding"]
    encodings = [one for one in encodings if one not in (b"", b"identity")]
    if encodings not in ([], [b"gzip"]):
        raise RefusedError(415, "The body may be compressed once, by gzip, and not in another way.")
    too_large = RefusedError(413, f"The body is larger than {limit >> 20} MiB (max_body_mb), the limit of a request.")
    length = next((int(value) for name, value in headers if name == b"content-length" and value.isdigit()), 0)
    if length > limit:
        raise too_large
    stream = zlib.decompressobj(GZIP) if encodings else None
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "The body ended early.")
        part, more = message.get("body", b""), message.get("more_body", False)
        try:
            for piece in inflate(stream, part, limit - size + 1) if stream else (part,):
                parts.append(piece)
                size += len(piece)
                if size > limit:
                    raise too_large
        except zlib.error as error:
            raise RefusedError(400, "The body is not compressed by gzip.") from error
    if stream and not stream.eof:
        raise RefusedError(400, "The compressed body is cut off.")
    return b"".join(parts)


def inflate(stream: Any, part: bytes, most: int) -> Iterable[bytes]:
    """Yield at most `most` decompressed bytes of a part of a gzip stream. Raise zlib.error if it is not gzip."""
    if stream.eof:
        if part.strip(b"\0"):
            raise zlib.error("something follows the end")
        return
    yield stream.decompress(part, most)
    if stream.eof and stream.unused_data.strip(b"\0"):
        raise zlib.error("something follows the end")
