"""Lose no request when a process is stopped or killed.

uvicorn closes each idle connection at once, even if a request is already on its way. Here responses contain
`Connection: close` after SIGTERM, and an idle connection stays open for GRACE after the listening socket is closed.

uvicorn writes the head of a response before its body. NGINX cannot send the request again if the process is killed in
between, because NGINX has already passed the head on. Here one system call writes both.
"""

from __future__ import annotations

import asyncio
import signal
from types import FrameType
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

GRACE = 0.5  # seconds that an idle connection stays open during a stop


class Draining:
    """Knows whether the process has been told to stop."""

    def __init__(self) -> None:
        self.began = False

    def watch(self) -> None:
        """Note SIGTERM, and then call the handler that the server has installed."""
        handler = signal.getsignal(signal.SIGTERM)

        def stop(number: int, frame: FrameType | None) -> None:
            self.began = True
            if callable(handler):
                handler(number, frame)

        signal.signal(signal.SIGTERM, stop)


class GatheredWrites:
    """A transport that combines all writes of one iteration of the event loop into a single write."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport, self.loop = transport, loop
        self.gathered: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Gather some bytes."""
        if not self.gathered:
            self.loop.call_soon(self.flush)
        self.gathered.append(data)

    def flush(self) -> None:
        """Write what was gathered."""
        gathered, self.gathered = self.gathered, []
        if gathered and not self.transport.is_closing():
            self.transport.write(b"".join(gathered))

    def close(self) -> None:
        """Write what was gathered, and close the connection."""
        self.flush()
        self.transport.close()

    def __getattr__(self, name: str) -> Any:
        """Return all other attributes from the original transport."""
        return getattr(self.transport, name)


class DrainingProtocol(HttpToolsProtocol):  # type: ignore[misc]
    """A connection that gathers writes, and that stays open for GRACE during a stop."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Gather the writes of this connection."""
        super().connection_made(GatheredWrites(transport, self.loop))

    def shutdown(self) -> None:
        """Close the connection after GRACE. The server calls this method once for each connection when it stops."""
        self.loop.call_later(GRACE, super().shutdown)
