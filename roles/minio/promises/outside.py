"""The promises (checks of verify.yml) about access to the object store through NGINX."""

from __future__ import annotations

from collections.abc import Iterator

from network import ask, signed
from promises import Facts, promise

# Paths that MinIO serves in addition to S3, in this version or in others, and alternative spellings of such a path.
ADMINISTRATION = [
    "/minio/admin/v3/info",
    "/minio/health/live",
    "/minio/health/cluster",
    "/minio/v2/metrics/cluster",
    "/minio/metrics/v3",
    "/minio/kms/v1/status",
    "//minio/admin/v3/info",
    "/./minio/admin/v3/info",
    "/%6dinio/admin/v3/info",
]


def buckets(its: Facts) -> list[str]:
    """Return the buckets that some S3 user may read or write."""
    return sorted(
        {name for user in its["s3_users"].values() for name in (*user.get("read", []), *user.get("write", []))}
    )


@promise("minio")
def s3_wants_key(its: Facts) -> Iterator[str]:
    """MinIO refuses requests without a key."""
    for path in ("/", *(f"/{name}/" for name in buckets(its))):
        status = ask(its, path, url=its["s3_url"]).status
        if status not in (401, 403):
            yield f"{path} answers {status}"


@promise("minio")
def s3_refuses_wrong_keys(its: Facts) -> Iterator[str]:
    """MinIO refuses its well-known default keys, and a right name with a wrong secret."""
    for key, secret in (("minioadmin", "minioadmin"), *((name, "wrong-secret") for name in its["s3_users"])):
        status = signed(its, "/", key, secret).status
        if status not in (401, 403):
            yield f"{key} with {'minioadmin' if key == 'minioadmin' else 'a wrong secret'} gets {status}"


@promise("minio")
def s3_keys_reach_their_buckets(its: Facts) -> Iterator[str]:
    """MinIO lets each user see only its own buckets."""
    for name, user in its["s3_users"].items():
        for bucket in buckets(its):
            status = signed(its, f"/{bucket}/?list-type=2&max-keys=1", name, user["secret"]).status
            wanted = 200 if bucket in [*user.get("read", []), *user.get("write", [])] else 403
            if status != wanted:
                yield f"{name} gets {status} from {bucket}"


@promise("minio")
def administration_closed(its: Facts) -> Iterator[str]:
    """MinIO's administration and metrics are not reachable over the network."""
    for path in ADMINISTRATION:
        answer = ask(its, path, url=its["s3_url"])
        if answer.status not in (400, 403, 404) or b"<html" not in answer.body.lower():
            yield f"{path} answers {answer.status}{'' if b'<html' in answer.body.lower() else ' from MinIO itself'}"
