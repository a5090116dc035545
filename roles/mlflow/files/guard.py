"""Answers that MLflow has no words for: 507 where the disk is (nearly) full, 503 while the object store is away.

And the addresses at which NGINX fetches artifacts by itself: signing.py makes them.

MLflow says 500 to both, which its client takes for a passing fault and repeats for four minutes. What would not fit is
refused before it is taken: MySQL waits for space without an answer, and MinIO and the spool share its disk.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from answers import Application, Message, Receive, Send, answer
from mlflow.server.security_utils import get_allowed_hosts_from_env, get_default_allowed_hosts, is_allowed_host_header
from signing import Download, Shortcut, Signer

READS = (
    "/search",
    "/graphql",
    "/get-latest-versions",
    "/batchGetInfos",
    "/metrics",
    "/search-datasets",
    "/calculate-filter-correlation",
)
LEAST = 64 * 2**20  # bytes that a change of the database must find; a transaction's share of logs and pages is less
STEP = 64 * 2**20  # bytes of an upload after which the disk is looked at again
AMPLE = 8  # uploads of a size that must have a place for one of them to go by where nobody looks again
SIGN = "/-/artifact/"
# How a proxy says that it can fetch a file by itself (Rack's convention), and how it is told to: see door.j2.
CAN_FETCH = (b"x-sendfile-type", b"X-Accel-Redirect")
FETCH = (b"x-accel-redirect", b"@store")


class Guard:
    """Stands before MLflow's application. `settings`: TRACKBOX_* variables, as the unit sets them."""

    def __init__(self, application: Application, settings: Mapping[str, str]) -> None:
        self.application = application
        self.ready = Path(settings["TRACKBOX_READY"])
        self.reserve = settings["TRACKBOX_DISK_RESERVE"]
        self.database, *self.upload = (Path(folder) for folder in settings["TRACKBOX_DISKS"].split())
        store = urlsplit(settings["MLFLOW_S3_ENDPOINT_URL"])
        self.store = (store.hostname, store.port or 80)
        # NGINX reaches this machine's MinIO, and no other store.
        own = settings["TRACKBOX_STORE"] == settings["MLFLOW_S3_ENDPOINT_URL"]
        self.signer = Signer(settings["TRACKBOX_STORE"]) if own else None
        self.shortcut = self.short(settings)
        self.hosts = get_allowed_hosts_from_env() or get_default_allowed_hosts()

    def short(self, settings: Mapping[str, str]) -> Shortcut | None:
        """The way to artifacts without MLflow, unless they are elsewhere, or each workspace has a folder of its own."""
        destination = settings["MLFLOW_ARTIFACTS_DESTINATION"]
        workspaces = settings.get("MLFLOW_ENABLE_WORKSPACES", "").lower() in ("true", "1")
        if self.signer is None or workspaces or not destination.startswith("s3://"):
            return None
        return Shortcut(self.signer, destination)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request, or the server's start and end."""
        if scope["type"] == "lifespan":
            await self.application(scope, receive, self.starting(send))
        elif scope["type"] == "http" and scope["path"].startswith(SIGN):
            headers = self.signed(scope)
            await send({"type": "http.response.start", "status": 204 if headers else 403, "headers": headers})
            await send({"type": "http.response.body"})
        elif scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.application(scope, receive, self.explaining(self.redirecting(scope, send), []))
        elif refused := self.refuses(scope):
            await answer(send, 507, refused)
        else:
            full: list[str] = []
            await self.application(scope, self.watching(scope, receive, full), self.explaining(send, full))

    def starting(self, send: Send) -> Send:
        """Leave a file when the application is up: away.py looks for it."""

        async def sent(message: Message) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                self.ready.touch()

        return sent

    def signed(self, scope: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
        """The address of an artifact in NGINX's reach; none where MLflow must answer, or an upload must be watched."""
        headers = dict(scope["headers"])
        method, size = headers.get(b"x-trackbox-method", b"").decode(), headers.get(b"x-trackbox-length", b"")
        # MLflow refuses foreign hosts and origins itself, and tells a browser which origins may read its answer.
        if b"origin" in headers or not is_allowed_host_header(self.hosts, headers.get(b"host", b"").decode("latin-1")):
            return []
        if not self.shortcut or (method == "PUT" and (not size or self.lacks(AMPLE * int(size)))):
            return []
        address = self.shortcut.address(method, scope["path"].removeprefix(SIGN))
        return [(b"x-trackbox-address", address.encode())] if address else []

    def redirecting(self, scope: Mapping[str, Any], send: Send) -> Send:
        """Let NGINX fetch the file that MLflow would download and send, if NGINX can."""
        if scope["type"] != "http" or self.signer is None or CAN_FETCH not in scope["headers"]:
            return send
        download = Download(self.signer, scope["method"])
        # The threads in which MLflow's handlers run get a copy of the context: it has this object, too.
        Download.current.set(download)

        async def sent(message: Message) -> None:
            if not download.address:
                await send(message)
            elif message["type"] == "http.response.start":
                allowed = [header for header in message["headers"] if header[0].startswith(b"access-control-")]
                headers = [FETCH, (b"x-trackbox-address", download.address.encode()), *allowed]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.body"})

        return sent

    def refuses(self, scope: Mapping[str, Any]) -> str:
        """Why this change cannot be made now; nothing if it can."""
        if "/mlflow-artifacts/" in scope["path"]:
            headers = dict(scope["headers"])
            return "" if scope["method"] == "DELETE" else self.lacks(int(headers.get(b"content-length") or 0))
        if not scope["path"].endswith(READS) and free(self.database) < LEAST:
            return "The disk of this Trackbox is full, and nothing can be written: free some space, and try again."
        return ""

    def lacks(self, size: int) -> str:
        """Why an artifact of so many bytes has no place; nothing if it has."""
        # A folder that is missing holds nothing up: MinIO says what is wrong with it.
        folders = [folder for folder in self.upload if folder.is_dir()]
        disks = [folder.stat().st_dev for folder in folders]
        for folder, disk in zip(folders, disks, strict=True):
            # The spool and the store hold it at the same time.
            need, left = size * disks.count(disk), free(folder) - self.reserved(folder)
            if left <= need:
                needed = f", and this one needs {need / 2**20:,.0f} MB" if need else ""
                return (
                    "The disk of this Trackbox has no place for artifacts on their way: "
                    f"{max(left, 0) / 2**20:,.0f} MB are left above the database's reserve{needed}. "
                    "Searching and logging metrics go on; ask an admin to free space or to enlarge the disk."
                )
        return ""

    def reserved(self, folder: Path) -> int:
        """The reserve in bytes: `5%` of the disk, or bytes."""
        if not self.reserve.endswith("%"):
            return int(self.reserve)
        disk = os.statvfs(folder)
        return int(disk.f_blocks * disk.f_frsize * float(self.reserve[:-1]) / 100)

    def watching(self, scope: Mapping[str, Any], receive: Receive, full: list[str]) -> Receive:
        """Hang up on an upload that did not say how long it is, or whose place others took meanwhile."""
        if "/mlflow-artifacts/" not in scope["path"]:
            return receive
        since = 0

        async def received() -> Message:
            nonlocal since
            message = await receive()
            since += len(message.get("body", b""))
            if since >= STEP:
                since = 0
                full[:] = filter(None, [self.lacks(0)])
            return {"type": "http.disconnect"} if full else message

        return received

    def explaining(self, send: Send, full: list[str]) -> Send:
        """Pass an answer on; in place of a 500 say what is the matter, if it is known."""
        instead = False

        async def sent(message: Message) -> None:
            nonlocal instead
            if message["type"] == "http.response.start" and message["status"] >= 400:
                status, why = self.reason(message["status"], full)
                if why:
                    instead = True
                    await answer(send, status, why)
            if not instead:
                await send(message)

        return sent

    def reason(self, status: int, full: list[str]) -> tuple[int, str]:
        """The status and the sentence that say more than `status`; no sentence if there is none."""
        if full:
            return 507, full[0]
        if status != 500:
            return status, ""
        if lacking := self.lacks(0):
            return 507, lacking
        try:
            socket.create_connection(self.store, timeout=0.5).close()
        except OSError:
            return 503, "The object store does not answer: it may be starting. Try again in some seconds."
        return status, ""


def free(folder: Path) -> int:
    """The bytes that users other than root may still write on the folder's disk."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
