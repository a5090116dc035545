"""Addresses at which NGINX fetches an artifact from the object store, or puts it there, by itself.

By way of MLflow an artifact lies on the disk a second time, and goes through Python.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from mlflow.utils.mime_type_utils import _guess_mime_type
from werkzeug.http import quote_header_value

# What has another character, a `.` or a `..` for a name, or no name is judged by MLflow.
PLAIN = re.compile(r"(?!(.*/)?\.\.?(/|$))[\w.,=+@ -]+(/[\w.,=+@ -]+)*", re.ASCII)
LIFE = 300  # seconds; a request may wait while the object store restarts


class Signer:
    """Signs with the key of MLflow's server. `settings`: the environment, as the unit sets it."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.endpoint = settings["MLFLOW_S3_ENDPOINT_URL"]
        place = urlsplit(settings["MLFLOW_ARTIFACTS_DESTINATION"])
        self.bucket, self.folder = place.netloc, place.path.strip("/")
        self.s3 = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )

    def address(self, method: str, artifact: str) -> str:
        """Path and query of the artifact in the object store; empty if MLflow itself must answer."""
        if not PLAIN.fullmatch(artifact):
            return ""
        asked = {"Bucket": self.bucket, "Key": posixpath.join(self.folder, artifact)}
        if method == "GET":
            # As MLflow would answer.
            asked["ResponseContentType"] = _guess_mime_type(artifact)
            name = quote_header_value(posixpath.basename(artifact), allow_token=True)
            asked["ResponseContentDisposition"] = f"attachment; filename={name}"
        call = {"GET": "get_object", "PUT": "put_object"}.get(method)
        return self.s3.generate_presigned_url(call, asked, LIFE).removeprefix(self.endpoint) if call else ""
