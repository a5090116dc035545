"""Lists and removes the folders and objects of MLflow's artifacts in their bucket."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config


class ArtifactStore:
    """The folder in the bucket, as MLFLOW_ARTIFACTS_DESTINATION names them. All paths are relative to the folder."""

    def __init__(self) -> None:
        destination = os.environ["MLFLOW_ARTIFACTS_DESTINATION"].removeprefix("s3://").strip("/")
        self.bucket, _, root = destination.partition("/")
        self.root = f"{root}/" if root else ""
        options = Config(connect_timeout=10, read_timeout=60, retries={"max_attempts": 3})
        self.s3 = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"], config=options)

    def pages(self, folder: str, **options: str) -> Iterator[dict[str, Any]]:
        """List a folder, page by page."""
        pages = self.s3.get_paginator("list_objects_v2")
        yield from pages.paginate(Bucket=self.bucket, Prefix=self.root + folder, **options)

    def folders(self, folder: str = "") -> Iterator[str]:
        """Return the folders in a folder; each path ends in a slash."""
        for page in self.pages(folder, Delimiter="/"):
            yield from (found["Prefix"].removeprefix(self.root) for found in page.get("CommonPrefixes", []))

    def remove(self, folder: str, pretend: bool) -> tuple[int, int]:
        """Remove a folder's objects; return their number and total bytes. pretend: a dry run, which only counts."""
        count = size = 0
        for page in self.pages(folder):
            objects = page.get("Contents", [])
            if objects and not pretend:
                keys = {"Objects": [{"Key": one["Key"]} for one in objects], "Quiet": True}
                if errors := self.s3.delete_objects(Bucket=self.bucket, Delete=keys).get("Errors"):
                    raise OSError(f"{errors[0]['Key']} stays: {errors[0]['Message']}")
            count, size = count + len(objects), size + sum(one["Size"] for one in objects)
        return count, size
