"""A bucket of a MinIO server that a test has started."""

from __future__ import annotations

from minio import Minio
from servers import KEYS


def client_of(endpoint: str, bucket: str) -> Minio:
    """Return an S3 client with the root user's keys; create the bucket if it is missing. endpoint: the server's URL."""
    keys = {"access_key": KEYS["MINIO_ROOT_USER"], "secret_key": KEYS["MINIO_ROOT_PASSWORD"]}
    client = Minio(endpoint=endpoint.removeprefix("http://"), secure=False, **keys)
    if not client.bucket_exists(bucket_name=bucket):
        client.make_bucket(bucket_name=bucket)
    return client
