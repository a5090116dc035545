"""Ends connections at a stop (SIGTERM) without losing a request.

uvicorn closes each idle connection at once, also one on which a request is on its way. Here answers say
`Connection: close` from the signal on, and an idle connection stays open for GRACE after the socket is closed.
"""

from __future__ import annotations

import signal
from types import FrameType

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

GRACE = 0.5  # seconds


class Draining:
    """Knows whether the process has been told to stop."""

    def __init__(self) -> None:
        self.began = False

    def watch(self) -> None:
        """Note the signal, and leave it to the handler that the server has installed."""
        handler = signal.getsignal(signal.SIGTERM)

        def stop(number: int, frame: FrameType | None) -> None:
            self.began = True
            if callable(handler):
                handler(number, frame)

        signal.signal(signal.SIGTERM, stop)


class DrainingProtocol(HttpToolsProtocol):  # type: ignore[misc]
    """A connection that uvicorn's `shutdown` ends later, when a request that was on its way has been answered."""

    def shutdown(self) -> None:
        """Begin to end the connection: the server calls it once for each connection when it stops."""
        self.loop.call_later(GRACE, super().shutdown)
