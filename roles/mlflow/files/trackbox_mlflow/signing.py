"""Makes presigned URLs, with which NGINX downloads artifacts from the object store or uploads them there.

asgi/artifacts.py gives NGINX these URLs.
"""

from __future__ import annotations

import mimetypes
import posixpath
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
from botocore.config import Config
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from werkzeug.http import quote_header_value

from trackbox_mlflow import patches

CALLS = {"GET": "get_object", "HEAD": "head_object", "PUT": "put_object"}
LIFE = 300  # seconds that a presigned URL is valid; enough for a request that waits while the object store restarts


class Signer:
    """Makes presigned URLs with the S3 key of MLflow's server. endpoint: URL of the object store."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.s3 = boto3.client(
            "s3", endpoint_url=endpoint, config=Config(signature_version="s3v4", s3={"addressing_style": "path"})
        )
        self.mime_type: Callable[[str], str] = patches.MIME_TYPE.get() or guess_type

    def address(self, method: str, bucket: str, key: str) -> str:
        """Return path and query of an object's presigned URL. method: GET, HEAD or PUT."""
        parameters = {"Bucket": bucket, "Key": key}
        if method != "PUT":
            # Make the object store send the headers that MLflow would send.
            parameters["ResponseContentType"] = self.mime_type(key)
            parameters["ResponseContentDisposition"] = attachment(posixpath.basename(key))
        return self.s3.generate_presigned_url(CALLS[method], parameters, LIFE).removeprefix(self.endpoint)


class ArtifactPaths:
    """Makes presigned URLs for `/api/2.0/mlflow-artifacts/artifacts/PATH` without asking MLflow.

    destination: s3://BUCKET/FOLDER. check_path: MLflow's validate_path_is_safe.
    """

    def __init__(self, signer: Signer, destination: str, check_path: Callable[[str], str]) -> None:
        self.signer, self.check_path = signer, check_path
        place = urlsplit(destination)
        self.bucket, self.folder = place.netloc, place.path.strip("/")

    def address(self, method: str, path: str) -> str:
        """Return path and query of the artifact's presigned URL; empty if MLflow itself must answer."""
        try:
            path = self.check_path(path)
        except (MlflowException, ValueError):
            return ""
        if method not in CALLS or not path or path.endswith("/"):
            return ""
        return self.signer.address(method, self.bucket, posixpath.join(self.folder, path))


class Download:
    """A request that NGINX can complete by a presigned URL. address: empty until MLflow has found the artifact."""

    current: ContextVar[Download | None] = ContextVar("current", default=None)

    def __init__(self, signer: Signer, method: str) -> None:
        self.signer, self.method, self.address = signer, method, ""


class FoundError(MlflowException):  # type: ignore[misc]
    """Ends MLflow's handler of a request. asgi/artifacts.py replaces its response by the artifact's presigned URL."""

    def get_http_status_code(self) -> int:
        """Return 200, so that MLflow logs no failure."""
        return 200


def signed_store(base: Any, trace_file: str) -> Any:
    """Return a subclass of MLflow's S3 store that answers a download by a presigned URL, if NGINX asked for it.

    It overrides the methods with which MLflow 3.17 downloads a file from the store before it sends the file.
    """

    class SignedStore(base):  # type: ignore[misc]
        def download_artifacts(self, artifact_path: str, dst_path: str | None = None) -> Any:
            """Download a file or a folder."""
            self.redirect(artifact_path)
            return super().download_artifacts(artifact_path, dst_path)

        def download_trace_data_to_file(self, dst_path: Path) -> Any:
            """Download the spans of the trace whose artifacts are in this store."""
            self.redirect(trace_file)
            return super().download_trace_data_to_file(dst_path)

        def download_trace_attachment_to_file(self, path: str, dst_path: Path) -> Any:
            """Download an attachment of the trace whose artifacts are in this store."""
            self.redirect(posixpath.join("attachments", path))
            return super().download_trace_attachment_to_file(path, dst_path)

        def redirect(self, path: str) -> None:
            """End the request with the presigned URL of a file, if NGINX can fetch it."""
            download = Download.current.get()
            if download is None:
                return
            if not path or path.endswith("/"):
                raise MlflowException("This is a folder: only files can be read.", error_code=RESOURCE_DOES_NOT_EXIST)
            bucket, folder = self.parse_s3_compliant_uri(self.artifact_uri)
            download.address = download.signer.address(download.method, bucket, posixpath.join(folder, path))
            raise FoundError("NGINX fetches this artifact.")

    return SignedStore


def install() -> None:
    """Make MLflow use a SignedStore for artifacts at s3://."""
    if found := patches.SIGNED_STORE.get():
        registered, base, trace_file = found
        registered()["s3"] = signed_store(base, trace_file)


def guess_type(path: str) -> str:
    """Return the MIME type of a file by its name, from Python's own table."""
    return mimetypes.guess_type(path)[0] or "application/octet-stream"


def attachment(name: str) -> str:
    """Return Content-Disposition for a file of this name, by RFC 6266."""
    if name.isascii():
        return f"attachment; filename={quote_header_value(name)}"
    plain = quote_header_value(name.encode("ascii", "ignore").decode() or "download")
    return f"attachment; filename={plain}; filename*=UTF-8''{quote(name, safe='')}"
