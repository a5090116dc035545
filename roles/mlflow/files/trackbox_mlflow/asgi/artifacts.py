"""Lets NGINX transfer artifacts to and from the object store directly, by presigned URLs (signed addresses).

MLflow itself would spool an artifact to the disk, and copy it in Python. NGINX gets the presigned URL in two ways:

- For `/api/2.0/mlflow-artifacts/artifacts/PATH`, NGINX first requests `/-/artifact/PATH` here (auth_request), with the
  method and the length of its client's request in X-Trackbox-Method and X-Trackbox-Length. The response is 204 with
  X-Trackbox-Address, or 403 if MLflow itself must answer.
- On every other route MLflow looks up the artifact. `signing.SignedStore` then ends the request, and the response
  gives NGINX the URL in X-Accel-Redirect and X-Trackbox-Address.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from trackbox_mlflow import patches
from trackbox_mlflow.asgi.types import READ_METHODS, Application, Message, Receive, Scope, Send
from trackbox_mlflow.disks import Disks
from trackbox_mlflow.signing import ArtifactPaths, Download, Signer

# An upload bypasses MLflow only if 8 uploads of its size fit on the disk. NGINX does not check the free space during
# the upload, while other uploads may use up the space.
UPLOADS_THAT_FIT = 8
SIGN = "/-/artifact/"
# NGINX sends the first header to announce that it can fetch a file itself (a convention of Rack). A response has the
# second header to make NGINX fetch the file.
CAN_FETCH = (b"x-sendfile-type", b"X-Accel-Redirect")
FETCH = (b"x-accel-redirect", b"@store")

logger = logging.getLogger("trackbox")


class Artifacts:
    """Middleware: gives NGINX presigned URLs of artifacts. settings: the environment variables of MLflow's unit."""

    def __init__(self, application: Application, disks: Disks, settings: Mapping[str, str]) -> None:
        self.application, self.disks = application, disks
        # NGINX can reach this machine's MinIO only. With another store, MLflow transfers artifacts itself.
        local = settings["TRACKBOX_STORE"] == settings["MLFLOW_S3_ENDPOINT_URL"]
        self.signer = Signer(settings["TRACKBOX_STORE"]) if local else None
        bucket = settings["MLFLOW_ARTIFACTS_DESTINATION"]
        # With workspaces, only MLflow knows the folder of an artifact, because each workspace has its own folder.
        workspaces = settings.get("MLFLOW_ENABLE_WORKSPACES", "").lower() in ("true", "1")
        self.paths: ArtifactPaths | None = None
        fits = bucket.startswith("s3://") and not workspaces
        if self.signer and fits and (checks := patches.REQUEST_CHECKS.get()):
            hosts_of_environment, default_hosts, self.host_is_allowed, check_path = checks
            self.hosts = hosts_of_environment() or default_hosts()
            self.paths = ArtifactPaths(self.signer, bucket, check_path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
        elif scope["path"].startswith(SIGN):
            headers = self.signed_or_none(scope)
            await send({"type": "http.response.start", "status": 204 if headers else 403, "headers": headers})
            await send({"type": "http.response.body"})
        elif self.signer and scope["method"] in READ_METHODS and CAN_FETCH in scope["headers"]:
            await self.application(scope, receive, self.redirecting(self.signer, scope["method"], send))
        else:
            await self.application(scope, receive, send)

    def signed_or_none(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """Return the header with the presigned URL; after an error none, so that MLflow answers.

        NGINX would turn a 500 of this request into a 503 that says that MLflow may be starting.
        """
        try:
            return self.signed_headers(scope)
        except MemoryError:
            raise  # asgi/limits.py replaces this worker.
        except Exception:
            logger.exception("MLflow itself transfers an artifact, because making its presigned URL failed.")
            return []

    def signed_headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """Return the header with the presigned URL; none if MLflow must answer, or must watch an upload's size."""
        headers = dict(scope["headers"])
        method, size = headers.get(b"x-trackbox-method", b"").decode(), headers.get(b"x-trackbox-length", b"")
        # Leave requests with an Origin header to MLflow, which refuses foreign origins and sends CORS headers.
        if not self.paths or b"origin" in headers:
            return []
        if not self.host_is_allowed(self.hosts, headers.get(b"host", b"").decode("latin-1")):
            return []
        if method == "PUT" and (not size or self.disks.refuse_upload(UPLOADS_THAT_FIT * int(size))):
            return []
        address = self.paths.address(method, scope["path"].removeprefix(SIGN))
        return [(b"x-trackbox-address", address.encode())] if address else []

    def redirecting(self, signer: Signer, method: str, send: Send) -> Send:
        """Return a `send` that replaces MLflow's response by one that tells NGINX to fetch the file.

        It passes other responses on unchanged.
        """
        download = Download(signer, method)
        # MLflow's handler runs in a thread with a copy of this context. The copy contains the same `download`, so the
        # handler's result is visible here.
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
