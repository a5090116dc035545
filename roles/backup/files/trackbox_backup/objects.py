"""Packs all objects into one tar. Each version of an object is a member of the tar, the oldest version first.

The last member lists the SHA-256 of each version. Delete markers are members under .deleted/. Plain `tar x` extracts
the newest version of each object, because each version overwrites the previous one.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Callable
from typing import IO, Any

from trackbox_backup.refused import Refused
from trackbox_backup.store import Store, Version

LIST = ".trackbox/objects.jsonl"
FACTS = "TRACKBOX.version"
Take = Callable[[Version, IO[bytes]], None]
Identity = tuple[str, str, str]


class Hashing:
    """A wrapper of a file that computes the SHA-256 and the size of the data read from it or written to it."""

    def __init__(self, file: Any, size: int = -1) -> None:
        """Wrap `file`. size: the number of bytes that it must contain, or -1 if that is unknown."""
        self.file, self.size, self.seen, self.digest = file, size, 0, hashlib.sha256()

    def pass_on(self, data: bytes) -> bytes:
        """Add data to the SHA-256 and the size; return the data."""
        self.digest.update(data)
        self.seen += len(data)
        return data

    def read(self, amount: int = -1) -> bytes:
        """Read. Raises Refused if the data ends before `size` bytes."""
        data = self.pass_on(self.file.read(amount) if amount >= 0 else self.file.read())
        if not data and self.seen < self.size:
            raise Refused(f"MinIO broke off after {self.seen} of {self.size} bytes of an object")
        return data

    def write(self, data: bytes) -> int:
        """Write data; return its length."""
        self.file.write(self.pass_on(bytes(data)))
        return len(data)


def sha256(file: Any) -> str:
    """Read a file to its end; return its SHA-256. hashlib.file_digest is not in Python 3.10, which Ubuntu 22.04 has."""
    hashing = Hashing(file)
    while hashing.read(1 << 20):
        pass
    return hashing.digest.hexdigest()


def folders(version: Version) -> set[str]:
    """Return the folders that a version is in, each as BUCKET/FOLDER/."""
    parts = version.key.split("/")[:-1]
    return {"/".join([version.bucket, *parts[: n + 1], ""]) for n in range(len(parts))}


class Packed:
    """The result of `pack`. buckets: number and bytes of the versions by bucket. folders: the folders of all objects.

    gone: the number of versions that were deleted before they could be read.
    """

    def __init__(self) -> None:
        """Start without buckets and folders."""
        self.buckets: dict[str, dict[str, int]] = {}
        self.folders: set[str] = set()
        self.gone = 0
        self.sha256 = ""

    def add(self, version: Version) -> None:
        """Count a version, and note the folders that it is in."""
        found = self.buckets[version.bucket]
        found["versions"] += 1
        found["bytes"] += version.size
        self.folders |= folders(version)


def pack(store: Store, out: IO[bytes]) -> Packed:
    """Write the tar of all buckets' objects."""
    packed = Packed()
    whole: Any = Hashing(out)
    with (
        tarfile.open(fileobj=whole, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as tar,
        tempfile.TemporaryFile() as listed,
    ):
        for bucket in store.buckets():
            packed.buckets[bucket] = {"versions": 0, "bytes": 0}
            for version in store.versions(bucket):
                member = tarfile.TarInfo(f"{'.deleted/' if version.deleted else ''}{bucket}/{version.key}")
                if version.deleted:
                    member.pax_headers = {FACTS: json.dumps(version.facts())}
                    tar.addfile(member)
                else:
                    response = store.get(version)
                    if response is None:
                        packed.gone += 1
                        continue
                    member.size, member.mode = version.size, 0o600
                    member.pax_headers = {FACTS: json.dumps(version.facts())}
                    body: Any = Hashing(response, version.size)
                    tar.addfile(member, body)
                    response.release_conn()
                    version.sha256 = body.digest.hexdigest()
                packed.add(version)
                listed.write(json.dumps(version.facts()).encode() + b"\n")
        member = tarfile.TarInfo(LIST)
        member.size = listed.tell()
        listed.seek(0)
        tar.addfile(member, listed)
    packed.sha256 = whole.digest.hexdigest()
    return packed


def unpack(source: IO[bytes], take: Take) -> tuple[dict[Identity, str], str]:
    """Read the tar, pass every version to `take`, and compare each SHA-256 with the list at the end of the tar.

    Returns the SHA-256 by bucket, key and version, and that of the whole tar. Raises Refused if a version differs.
    """
    found: dict[Identity, str] = {}
    listed: dict[Identity, str] | None = None
    whole: Any = Hashing(source)
    with tarfile.open(fileobj=whole, mode="r|", bufsize=1 << 20) as tar:
        for member in tar:
            body = tar.extractfile(member) or io.BytesIO()
            if member.name == LIST:
                lines = [json.loads(line) for line in body]
                listed = {(line["bucket"], line["key"], line["version"]): line["sha256"] for line in lines}
                continue
            version = Version(**json.loads(member.pax_headers[FACTS]))
            passing: Any = Hashing(body)
            take(version, passing)
            while passing.read(1 << 20):
                pass
            found[version.bucket, version.key, version.version] = "" if version.deleted else passing.digest.hexdigest()
    while whole.read(1 << 20):
        pass
    if listed is None or found != listed:
        differing = sum(found.get(name) != digest for name, digest in (listed or {}).items())
        raise Refused(
            f"The objects in the backup are not those of its list: {differing} of {len(listed or {})} differ."
        )
    return found, whole.digest.hexdigest()
