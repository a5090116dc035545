"""Answers 507 to a request that would change data, if the change does not fit on the disk.

Without this check, MySQL would wait for free space, and the client would get no response. On a full disk, MLflow would
answer 500, and its client would repeat the request for four minutes.
"""

from __future__ import annotations

import re

from trackbox_mlflow.asgi.answers import send_error
from trackbox_mlflow.asgi.types import READ_METHODS, Application, Message, Receive, Scope, Send
from trackbox_mlflow.disks import Disks, free_bytes

# Changes in the database require this many free bytes, more than any transaction's redo log and dirty pages take.
DATABASE_MINIMUM = 64 * 2**20
# Bytes of an upload between two checks of the disk.
CHECK_INTERVAL = 64 * 2**20
ARTIFACTS = "/mlflow-artifacts/"


class DiskSpace:
    """Middleware: answers 507 to a change that does not fit on the disk, and to an upload that fills the disk."""

    def __init__(self, application: Application, disks: Disks, reading_posts: str) -> None:
        """reading_posts: a regular expression of the paths of POST requests that change nothing."""
        self.application, self.disks, self.reading_posts = application, disks, re.compile(reading_posts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] in READ_METHODS:
            await self.application(scope, receive, send)
        elif refused := self.refuse(scope):
            await send_error(send, 507, refused)
        elif ARTIFACTS in scope["path"]:
            await self.watch(scope, receive, send)
        else:
            await self.application(scope, receive, send)

    def refuse(self, scope: Scope) -> str:
        """Return an error message if this change cannot be made now; empty if it can."""
        if ARTIFACTS in scope["path"]:
            if scope["method"] == "DELETE":
                return ""
            return self.disks.refuse_upload(int(dict(scope["headers"]).get(b"content-length") or 0))
        if not self.reading_posts.fullmatch(scope["path"]) and free_bytes(self.disks.database) < DATABASE_MINIMUM:
            return "The disk of this Trackbox is full, and nothing can be written: free some space, and try again."
        return ""

    async def watch(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an upload on, and cut it off when the disk is full.

        The disk can fill during an upload, because the upload's length may be unknown, and other uploads may run.
        """
        since_check, full, replaced = 0, "", False

        async def received() -> Message:
            nonlocal since_check, full
            message = await receive()
            since_check += len(message.get("body", b""))
            if since_check >= CHECK_INTERVAL:
                since_check, full = 0, self.disks.refuse_upload(0)
            return {"type": "http.disconnect"} if full else message

        async def sent(message: Message) -> None:
            nonlocal replaced
            if full and message["type"] == "http.response.start" and message["status"] >= 400:
                replaced = True
                await send_error(send, 507, full)
            if not replaced:
                await send(message)

        await self.application(scope, received, sent)
