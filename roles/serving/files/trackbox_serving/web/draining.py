"""Close connections after SIGTERM without losing a request.

uvicorn closes each idle connection at once, even if a request is already on its way. Here responses contain
`Connection: close` after the signal, and an idle connection stays open for GRACE after the listening socket is closed.
"""

from __future__ import annotations

import signal
from types import FrameType

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


class DrainingProtocol(HttpToolsProtocol):  # type: ignore[misc]
    """A connection that stays open for GRACE during a stop, so that a request on its way is still answered."""

    def shutdown(self) -> None:
        """Close the connection after GRACE. The server calls this method once for each connection when it stops."""
        self.loop.call_later(GRACE, super().shutdown)
