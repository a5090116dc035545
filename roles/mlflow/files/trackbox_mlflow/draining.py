"""Closes kept-alive connections when the server stops, without losing a request.

uvicorn closes an idle connection at once, although a request may be on its way. Here, the next response announces
`Connection: close`, and a connection that stays idle is closed after GRACE.
"""

from __future__ import annotations

from typing import Any

from trackbox_mlflow import patches

GRACE = 0.5  # seconds


def drain_connections() -> Any:
    """Return a value for uvicorn's setting `http`: a class that drains connections, or the name of uvicorn's own."""
    if not (found := patches.DRAIN.get()):
        return "httptools"

    base: Any = found[0]

    class DrainingProtocol(base):  # type: ignore[misc]
        draining = False

        def shutdown(self) -> None:
            """Begin to drain this connection. uvicorn calls this method for each connection when it stops."""
            self.draining = True
            if self.cycle is None or self.cycle.response_complete:
                self.loop.call_later(GRACE, super().shutdown)
            elif self.cycle.response_started:
                # Wait, because the response began without `Connection: close`, so the client may send another request.
                self.loop.call_later(GRACE, self.shutdown)
            else:
                self.announce_close()

        def on_headers_complete(self) -> None:
            """Begin a request. If the connection drains, the response to this request is the last one."""
            super().on_headers_complete()
            if self.draining and self.cycle is not None:
                self.announce_close()

        def announce_close(self) -> None:
            """Let the response to the current request announce that the connection closes."""
            self.cycle.keep_alive = False
            # uvicorn sends this header only if the request has it, so add it to the request.
            self.cycle.scope["headers"].append((b"connection", b"close"))

    return DrainingProtocol
