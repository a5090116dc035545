"""Addresses at which NGINX fetches an artifact from the object store, or puts it there, by itself.

By way of MLflow an artifact lies on the disk a second time, and goes through Python. NGINX gets an address in two ways:

- for `/api/2.0/mlflow-artifacts/artifacts/PATH` NGINX asks the guard, before it sends anything on: `Shortcut`;
- on every other route MLflow finds the artifact, and `SignedStore` names the address instead of downloading it.
"""

from __future__ import annotations

import posixpath
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
from botocore.config import Config
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.store.artifact.artifact_repository_registry import get_registered_artifact_repositories
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository
from mlflow.tracing.utils.artifact_utils import TRACE_DATA_FILE_NAME
from mlflow.utils.mime_type_utils import _guess_mime_type
from mlflow.utils.uri import validate_path_is_safe
from werkzeug.http import quote_header_value

CALLS = {"GET": "get_object", "HEAD": "head_object", "PUT": "put_object"}
LIFE = 300  # seconds; a request may wait while the object store restarts


class Signer:
    """Signs with the key of MLflow's server. `endpoint`: the object store's URL."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.s3 = boto3.client(
            "s3", endpoint_url=endpoint, config=Config(signature_version="s3v4", s3={"addressing_style": "path"})
        )

    def address(self, method: str, bucket: str, key: str) -> str:
        """Path and query of an object; `method` is GET, HEAD or PUT."""
        asked = {"Bucket": bucket, "Key": key}
        if method != "PUT":
            # As MLflow would answer.
            asked["ResponseContentType"] = _guess_mime_type(key)
            asked["ResponseContentDisposition"] = attachment(posixpath.basename(key))
        return self.s3.generate_presigned_url(CALLS[method], asked, LIFE).removeprefix(self.endpoint)


class Shortcut:
    """Finds artifacts of `/api/2.0/mlflow-artifacts/artifacts/PATH` without MLflow. `destination`: s3://BUCKET/FOLDER."""

    def __init__(self, signer: Signer, destination: str) -> None:
        self.signer = signer
        place = urlsplit(destination)
        self.bucket, self.folder = place.netloc, place.path.strip("/")

    def address(self, method: str, path: str) -> str:
        """Path and query of the artifact in the object store; empty if MLflow itself must answer."""
        try:
            path = validate_path_is_safe(path)
        except (MlflowException, ValueError):
            return ""
        if method not in CALLS or not path or path.endswith("/"):
            return ""
        return self.signer.address(method, self.bucket, posixpath.join(self.folder, path))


class Download:
    """A request that NGINX finishes by itself, once `address` is known."""

    current: ContextVar[Download | None] = ContextVar("current", default=None)

    def __init__(self, signer: Signer, method: str) -> None:
        self.signer, self.method, self.address = signer, method, ""


class FoundError(MlflowException):  # type: ignore[misc]
    """Ends the handler of a route, whose answer the guard replaces by the artifact's address."""

    def get_http_status_code(self) -> int:
        """No failure, and nothing that MLflow should log."""
        return 200


class SignedStore(S3ArtifactRepository):  # type: ignore[misc]
    """MLflow's S3 store, which names the address of an artifact where a request of NGINX's would have it downloaded.

    The methods are those by which the handlers of MLflow 3.17 get a file that they send.
    """

    def download_artifacts(self, artifact_path: str, dst_path: str | None = None) -> Any:
        """Download a file, or all that is in a folder."""
        self.redirect(artifact_path)
        return super().download_artifacts(artifact_path, dst_path)

    def download_trace_data_to_file(self, dst_path: Path) -> Any:
        """Download the spans of the trace whose folder this is."""
        self.redirect(TRACE_DATA_FILE_NAME)
        return super().download_trace_data_to_file(dst_path)

    def download_trace_attachment_to_file(self, path: str, dst_path: Path) -> Any:
        """Download an attachment of the trace whose folder this is."""
        self.redirect(posixpath.join("attachments", path))
        return super().download_trace_attachment_to_file(path, dst_path)

    def redirect(self, path: str) -> None:
        """End the request with the address of a file, if NGINX can fetch it."""
        download = Download.current.get()
        if download is None:
            return
        if not path or path.endswith("/"):
            raise MlflowException("This is a folder: only files can be read.", error_code=RESOURCE_DOES_NOT_EXIST)
        bucket, folder = self.parse_s3_compliant_uri(self.artifact_uri)
        download.address = download.signer.address(download.method, bucket, posixpath.join(folder, path))
        raise FoundError("NGINX fetches this artifact.")


def install() -> None:
    """Let MLflow open artifacts at s3:// by `SignedStore`."""
    get_registered_artifact_repositories()["s3"] = SignedStore


def attachment(name: str) -> str:
    """The value of Content-Disposition for a file of this name, as RFC 6266 has it."""
    if name.isascii():
        return f"attachment; filename={quote_header_value(name)}"
    plain = quote_header_value(name.encode("ascii", "ignore").decode() or "download")
    return f"attachment; filename={plain}; filename*=UTF-8''{quote(name, safe='')}"
