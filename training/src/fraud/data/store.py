"""The bucket of data sets. Each data set is stored under its hash, as Parquet with a manifest.

The objects are `creditcard/HASH/data.parquet` and `creditcard/HASH/manifest.json`. The manifest is
written last, so a data set without a manifest is incomplete and is ignored.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import boto3
import botocore.exceptions as s3errors
import pandas as pd
from botocore.config import Config

from fraud.data.manifest import content_hash
from fraud.errors import DataError, ServiceError
from fraud.settings import HINT, Settings
from fraud.types import Manifest

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

PREFIX = "creditcard/"
S3_CONFIG = Config(
    connect_timeout=5,
    read_timeout=60,
    retries={"max_attempts": 3, "mode": "standard"},
    s3={"addressing_style": "path"},
)


@contextmanager
def _as_service_errors(settings: Settings) -> Iterator[None]:
    """Turn errors that the S3 client raises in the block into ServiceError."""
    where = f"The object store at {settings.s3_endpoint or 'AWS'}"
    try:
        yield
    except s3errors.NoCredentialsError as error:
        raise ServiceError(f"{where} needs a key; AWS_ACCESS_KEY_ID is not set", HINT) from error
    except s3errors.SSLError as error:
        raise ServiceError(
            f"{where} shows a certificate that is not trusted",
            "Set AWS_CA_BUNDLE to the installation's CA file.",
        ) from error
    except s3errors.ClientError as error:
        answer = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if answer.get("Code") == "NoSuchBucket":
            variable = "FRAUD_BUCKET"
            if settings.bucket == settings.log_bucket:
                variable = "FRAUD_LOG_BUCKET"
            remedy = f"Create the bucket {settings.bucket}, or correct {variable}."
        elif status in (401, 403):
            remedy = "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the user's policy."
        else:
            remedy = "Look at the server's log (journalctl -u minio)."
        raise ServiceError(f"{where} said {answer.get('Code') or status}", remedy) from error
    except (s3errors.BotoCoreError, OSError) as error:
        raise ServiceError(
            f"{where} was not reached ({type(error).__name__})",
            "Check AWS_ENDPOINT_URL_S3 and that the server is up (https://HOST/healthz).",
        ) from error


class Store:
    """The bucket of data sets. The S3 client reads its keys and CA from environment variables.

    Every method raises ServiceError if the object store was not reached or refused the request.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        with _as_service_errors(settings):
            self._s3: S3Client = boto3.session.Session().client(
                "s3", endpoint_url=settings.s3_endpoint, config=S3_CONFIG
            )

    def manifests(self) -> list[Manifest]:
        """The manifests of all data sets, newest first."""
        with _as_service_errors(self.settings):
            names = [key for key in self._keys(PREFIX) if key.endswith("/manifest.json")]
            with ThreadPoolExecutor(8) as pool:
                found = [Manifest(**json.loads(body)) for body in pool.map(self._get, names)]
        return sorted(found, key=lambda manifest: manifest.pushed, reverse=True)

    def find(self, name: str) -> Manifest:
        """The manifest of the data set whose hash begins with `name`.

        Raises:
            DataError: no hash begins with `name`, or more than one does.

        """
        found = [manifest for manifest in self.manifests() if manifest.hash.startswith(name)]
        if len(found) != 1:
            what = "no data set" if not found else f"{len(found)} data sets"
            raise DataError(
                f"The bucket {self.settings.bucket} has {what} with a hash beginning {name}",
                "`fraud data list` shows all data sets.",
            )
        return found[0]

    def push(self, frame: pd.DataFrame, manifest: Manifest) -> bool:
        """Store a clean data set.

        After an interrupted push, `manifests` does not return the data set, because S3 writes
        objects atomically and the manifest is written last.

        Returns:
            Whether the data set is new; False if it was stored before.

        """
        base = f"{PREFIX}{manifest.hash}/"
        with _as_service_errors(self.settings):
            if self._has(base + "manifest.json"):
                return False
            buffer = io.BytesIO()
            frame.to_parquet(buffer, compression="zstd", index=False)
            try:
                self._put(base + "data.parquet", buffer.getvalue())
                self._put(base + "manifest.json", json.dumps(asdict(manifest), indent=1).encode())
            except BaseException:
                self._s3.delete_object(Bucket=self.settings.bucket, Key=base + "data.parquet")
                raise
        return True

    def load(self, manifest: Manifest) -> pd.DataFrame:
        """Read the rows of a data set.

        Raises:
            DataError: the content's hash differs from the manifest's.

        """
        with _as_service_errors(self.settings):
            body = self._get(f"{PREFIX}{manifest.hash}/data.parquet")
        frame = pd.read_parquet(io.BytesIO(body))
        if content_hash(frame) != manifest.hash:
            raise DataError(
                f"The data set {manifest.hash[:12]} has changed since it was pushed",
                "Delete it from the bucket and push the file again.",
            )
        return frame

    def keys(self, prefix: str) -> list[str]:
        """The keys of the objects whose keys begin with `prefix`, sorted."""
        with _as_service_errors(self.settings):
            return self._keys(prefix)

    def read(self, key: str) -> bytes:
        """The content of an object."""
        with _as_service_errors(self.settings):
            return self._get(key)

    def _keys(self, prefix: str) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.settings.bucket, Prefix=prefix
        )
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def _get(self, key: str) -> bytes:
        return self._s3.get_object(Bucket=self.settings.bucket, Key=key)["Body"].read()

    def _put(self, key: str, body: bytes) -> None:
        self._s3.put_object(Bucket=self.settings.bucket, Key=key, Body=body)

    def _has(self, key: str) -> bool:
        listed = self._s3.list_objects_v2(Bucket=self.settings.bucket, Prefix=key, MaxKeys=1)
        return listed.get("KeyCount", 0) > 0
