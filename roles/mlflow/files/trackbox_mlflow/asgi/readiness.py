"""Sets a worker's number of threads, and makes the file READY once the worker's application has started."""

from __future__ import annotations

from pathlib import Path

from anyio.to_thread import current_default_thread_limiter

from trackbox_mlflow.asgi.types import Application, Message, Receive, Scope, Send

CONNECTIONS = 2  # database connections that one request may need at a time


class Readiness:
    """Middleware. ready: the file that drop_waiting.py looks for. pool: a worker's number of database connections."""

    def __init__(self, application: Application, ready: Path, pool: int) -> None:
        self.application, self.ready, self.pool = application, ready, pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle the start and the end of the server (ASGI's lifespan), and pass requests on."""
        if scope["type"] != "lifespan":
            await self.application(scope, receive, send)
            return
        # Start only as many threads as the pool has connections for. More threads would wait for each other's
        # connections, and open further ones, which the pool discards.
        current_default_thread_limiter().total_tokens = max(1, self.pool // CONNECTIONS)

        async def sent(message: Message) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                self.ready.touch()

        await self.application(scope, receive, sent)
