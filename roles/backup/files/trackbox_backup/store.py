"""Access to MinIO as its root user: objects with versions and metadata, users and policies."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import IO, Any

import urllib3
from minio import Minio
from minio.commonconfig import ENABLED
from minio.credentials import Credentials
from minio.signer import sign_v4_s3
from minio.versioningconfig import VersioningConfig

from trackbox_backup.refused import Refused
from trackbox_backup.settings import Settings

UTC = timezone.utc  # noqa: UP017 - Python 3.10 of Ubuntu 22.04 has no datetime.UTC
KEPT = ("content-type", "cache-control", "content-disposition", "content-encoding", "content-language", "expires")
UNSIGNED = "UNSIGNED-PAYLOAD"
IAM, BUCKETS = "iam", "bucket-metadata"


@dataclass
class Version:
    """A version of an object. deleted: whether it is a delete marker. modified: its time in the API's format."""

    bucket: str
    key: str
    version: str
    modified: str
    etag: str = ""
    size: int = 0
    deleted: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    tags: str = ""
    sha256: str = ""

    def facts(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self)


class Store:
    """A client of MinIO's S3 and administration APIs."""

    def __init__(self, settings: Settings) -> None:
        """Create the clients."""
        self.settings = settings
        self.http = urllib3.PoolManager(timeout=urllib3.Timeout(connect=10, read=300), retries=False, maxsize=8)
        self.sdk = Minio(
            endpoint=settings.endpoint,
            access_key=settings.root_user,
            secret_key=settings.root_password,
            region=settings.region,
            secure=False,
        )

    def ask(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        headers: dict[str, str] | None = None,
        body: Any = None,
        size: int = 0,
    ) -> urllib3.BaseHTTPResponse:
        """Send a signed request; the caller reads the response's body. path: not percent-encoded."""
        now = datetime.now(UTC)
        quoted = urllib.parse.quote(path, safe="/~")
        listed = urllib.parse.urlencode(sorted(query.items()), quote_via=urllib.parse.quote)
        url = urllib.parse.urlsplit(f"http://{self.settings.endpoint}{quoted}?{listed}".rstrip("?"))
        given = {
            **(headers or {}),
            "Host": self.settings.endpoint,
            "Content-Length": str(size),
            "x-amz-content-sha256": UNSIGNED,
            "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
        }
        signed = sign_v4_s3(
            method=method,
            url=url,
            region=self.settings.region,
            headers=given,
            credentials=Credentials(access_key=self.settings.root_user, secret_key=self.settings.root_password),
            content_sha256=UNSIGNED,
            date=now,
        )
        return self.http.request(
            method, url.geturl(), body=body, headers=signed, preload_content=False, decode_content=False
        )

    def sure(self, response: urllib3.BaseHTTPResponse, what: str) -> bytes:
        """Return the response's body. Raises Refused if its status is 300 or higher.

        what: completes the message "MinIO did not ...", such as "list its buckets".
        """
        text = response.read()
        response.release_conn()
        if response.status >= 300:
            raise Refused(f"MinIO did not {what}: {response.status} {text[:300].decode(errors='replace')}")
        return text

    def buckets(self) -> list[str]:
        """Return the names of all buckets."""
        return sorted(bucket.name for bucket in self.sdk.list_buckets())

    def versions(self, bucket: str) -> Iterator[Version]:
        """Yield every version in a bucket, by key, the oldest first."""
        same: list[Version] = []
        for found in self.sdk.list_objects(bucket_name=bucket, recursive=True, include_version=True):
            modified = found.last_modified.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            version = Version(bucket, found.object_name, found.version_id or "null", modified)
            version.etag, version.size, version.deleted = (
                found.etag or "",
                found.size or 0,
                bool(found.is_delete_marker),
            )
            if same and same[0].key != version.key:
                yield from reversed(same)
                same = []
            same.append(version)
        yield from reversed(same)

    def get(self, version: Version) -> urllib3.BaseHTTPResponse | None:
        """Open a version for reading, and fill in its metadata. Returns None if it was deleted after it was listed."""
        where = f"/{version.bucket}/{version.key}"
        response = self.ask("GET", where, {"versionId": version.version})
        if response.status == 404:
            self.sure(self.ask("GET", "/", {}), "list its buckets")
            response.release_conn()
            return None
        if response.status != 200:
            self.sure(response, f"give {where[1:]}")
        found = {name.lower(): value for name, value in response.headers.items()}
        etag = found.get("etag", "").strip('"')
        if etag != version.etag:  # the object was overwritten after it was listed
            stamp = datetime.strptime(found["last-modified"], "%a, %d %b %Y %H:%M:%S GMT")
            version.modified = stamp.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
        version.etag, version.size = etag, int(found["content-length"])
        version.headers = {
            name: value for name, value in found.items() if name in KEPT or name.startswith("x-amz-meta-")
        }
        if int(found.get("x-amz-tagging-count", 0)):
            tags = self.sdk.get_object_tags(
                bucket_name=version.bucket,
                object_name=version.key,
                version_id=version.version.replace("null", "") or None,
            )
            version.tags = urllib.parse.urlencode(dict(tags or {}), quote_via=urllib.parse.quote)
        return response

    def put(self, version: Version, body: IO[bytes]) -> None:
        """Write a version with its original version ID, time and ETag."""
        where = f"/{version.bucket}/{version.key}"
        as_it_was = {"x-minio-source-mtime": version.modified}
        query = {} if version.version == "null" else {"versionId": version.version}
        if version.deleted:
            as_it_was |= {"x-minio-source-deletemarker": "true", "x-minio-source-replication-request": "true"}
            self.sure(self.ask("DELETE", where, query, as_it_was), f"delete {where[1:]}")
            return
        as_it_was |= {"x-minio-source-etag": version.etag, **version.headers}
        if version.tags:
            as_it_was["x-amz-tagging"] = version.tags
        self.sure(self.ask("PUT", where, query, as_it_was, body, version.size), f"take {where[1:]}")

    def versioned(self, bucket: str) -> None:
        """Create a versioned bucket, or make one versioned that exists."""
        if not self.sdk.bucket_exists(bucket_name=bucket):
            self.sdk.make_bucket(bucket_name=bucket)
        self.sdk.set_bucket_versioning(bucket_name=bucket, config=VersioningConfig(ENABLED))

    def empty(self, bucket: str) -> None:
        """Remove every version from a bucket, or create the bucket if it is missing."""
        if not self.sdk.bucket_exists(bucket_name=bucket):
            self.sdk.make_bucket(bucket_name=bucket)
        for version in list(self.versions(bucket)):
            self.sure(self.ask("DELETE", f"/{bucket}/{version.key}", {"versionId": version.version}), f"empty {bucket}")

    def export(self, what: str) -> bytes:
        """Return MinIO's ZIP archive of users and policies (IAM), or of bucket settings (BUCKETS)."""
        return self.sure(self.ask("GET", f"/minio/admin/v3/export-{what}", {}), f"export its {what}")

    def bring(self, what: str, packed: bytes) -> None:
        """Import what `export` returned."""
        self.sure(self.ask("PUT", f"/minio/admin/v3/import-{what}", {}, {}, packed, len(packed)), f"import its {what}")
