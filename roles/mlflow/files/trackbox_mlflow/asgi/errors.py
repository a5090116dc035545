"""Replaces MLflow's status 500 by 507 if a disk is full, and by 503 if the object store is down."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from trackbox_mlflow.asgi.answers import send_error
from trackbox_mlflow.asgi.types import Application, Message, Receive, Scope, Send
from trackbox_mlflow.disks import Disks

CONNECT_TIMEOUT = 0.5  # seconds


class ErrorAnswers:
    """Middleware: replaces 500 by a more precise status and message. endpoint: URL of the object store."""

    def __init__(self, application: Application, disks: Disks, endpoint: str) -> None:
        self.application, self.disks = application, disks
        store = urlsplit(endpoint)
        self.store = (store.hostname, store.port or 80)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        replaced = False

        async def sent(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == 500:
                status, cause = self.cause()
                if cause:
                    replaced = True
                    await send_error(send, status, cause)
            if not replaced:
                await send(message)

        await self.application(scope, receive, sent)

    def cause(self) -> tuple[int, str]:
        """Return status and message if a disk is full or the object store is down; otherwise 500 and no message."""
        if full := self.disks.refuse_upload(0):
            return 507, full
        try:
            socket.create_connection(self.store, timeout=CONNECT_TIMEOUT).close()
        except OSError:
            return 503, "The object store does not answer: it may be starting. Try again in some seconds."
        return 500, ""
