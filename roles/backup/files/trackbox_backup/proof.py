"""The restore test: restores the newest backup beside the live data, compares it with its manifest, and removes it."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from trackbox_host.disk import reserved_bytes
from trackbox_host.status import Status
from urllib3.exceptions import HTTPError

from trackbox_backup import backup
from trackbox_backup.backup import DATABASE, OBJECTS, failures_recorded
from trackbox_backup.database import SIZE, Database, Rows
from trackbox_backup.objects import folders, sha256, unpack
from trackbox_backup.redirect import Redirect
from trackbox_backup.refused import Inconclusive, Refused
from trackbox_backup.restore import Restore
from trackbox_backup.scratch import Scratch
from trackbox_backup.settings import DATABASE_FOLDER, STATE, Settings
from trackbox_backup.store import Store, Version

PROOF = Status(
    STATE,
    "proof",
    {
        "duration_seconds": ("seconds", "How long the last successful one took."),
        "bytes": ("bytes", "What it restored and compared."),
    },
    file="proof.json",
)
# The objects in the scratch bucket at the same time: bytes, unless one object alone is larger, and versions.
BATCH_BYTES, BATCH_VERSIONS = 256 << 20, 1000
# The bytes of a dump after which the free space is looked at again, and the bytes that stay free above the reserve.
STEP, MARGIN = 16 << 20, 64 << 20


class Disk:
    """A disk that a restore test must not fill. reserve: as in Settings."""

    def __init__(self, folder: Path, reserve: str) -> None:
        """Look at the disk of a folder."""
        self.folder, self.reserve = folder, reserve

    def room(self) -> int:
        """Return the number of bytes that the test may write."""
        return shutil.disk_usage(self.folder).free - reserved_bytes(self.reserve, self.folder) - MARGIN

    def refuse(self, need: float, what: str) -> None:
        """Raise Inconclusive unless there is room for `need` bytes. what: the message's begin, such as "The schema"."""
        if need > (room := self.room()):
            raise Inconclusive(
                f"{what} takes {need / 10**6:.1f} MB in {self.folder}, and a restore test has room for "
                f"{max(room, 0) // 10**6} MB there, above trackbox_disk_reserve: make room, or give it a larger disk."
            )


class Copies:
    """The object versions that are in the scratch bucket, and were not compared yet.

    folders: the folders of all versions so far, as `objects.folders` returns them.
    """

    def __init__(self, store: Store, disk: Disk) -> None:
        """Start with an empty bucket."""
        self.store, self.disk = store, disk
        self.expected: Counter[tuple[str, str]] = Counter()
        self.bytes, self.source = 0, ""
        self.folders: set[str] = set()
        self.bucket = store.settings.scratch_bucket

    def take(self, version: Version, body: Any) -> None:
        """Put a version into the scratch bucket. body: an objects.Hashing. Compare and remove those there if needed.

        All versions in the scratch bucket are of the same bucket, because keys of two buckets may be the same.
        """
        full = self.bytes + version.size > BATCH_BYTES or self.expected.total() >= BATCH_VERSIONS
        if full or version.bucket != self.source:
            self.compare()
        self.disk.refuse(version.size, f"The object {version.bucket}/{version.key}")
        self.store.put(replace(version, bucket=self.bucket), body)
        digest = "" if version.deleted else body.digest.hexdigest()
        self.expected[self.content(version, digest)] += 1
        self.folders |= folders(version)
        self.bytes, self.source = self.bytes + version.size, version.bucket

    @staticmethod
    def content(version: Version, digest: str) -> tuple[str, str]:
        """Return the key, and what must be the same in both buckets. There, a version without an ID gets one."""
        return version.key, str(replace(version, bucket="", version="", sha256=digest))

    def compare(self) -> None:
        """Read the scratch bucket, compare it with what was put there, and empty it. Raises Refused if it differs."""
        found: Counter[tuple[str, str]] = Counter()
        for version in self.store.versions(self.bucket) if self.expected else ():
            response = None if version.deleted else self.store.get(version)
            found[self.content(version, sha256(response) if response else "")] += 1
        differing = [*(self.expected - found), *(found - self.expected)]
        if differing:
            raise Refused(
                f"The objects restored from the backup differ from it: {self.source}/{differing[0][0]}, and "
                f"{len({key for key, _ in differing}) - 1} others among {self.expected.total()}."
            )
        if found:
            self.store.empty(self.bucket)
        self.expected.clear()
        self.bytes = 0


class Proof:
    """One restore test of this machine's newest backup."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        """Find the backup. folder: a private folder for temporary files."""
        self.settings = settings
        self.restore = Restore(settings, folder, "latest")
        self.database, self.store = Database(settings), Store(settings)
        self.scratch = Scratch(self.database, self.store)
        self.manifest = self.restore.manifest
        # restore.yml may restore the backup of another host. A restore test must not copy that host's data to this one.
        if self.manifest["host"] != settings.host:
            raise Refused(f"The repository {settings.target} has no backup of {settings.host}.")

    def run(self) -> None:
        """Restore and compare each part of the backup. Raises Refused if something differs."""
        self.restore.refuse_another_server()
        try:
            self.scratch.claim()
            models = self.compare_database()
            # The schemas go first, so that objects never take room beside them.
            self.scratch.drop_schemas()
            self.compare_models(models, self.compare_objects())
            for name in self.manifest["parts"].keys() - {DATABASE, OBJECTS}:
                with self.restore.part(name) as file:
                    self.restore.same(name, sha256(file))
        finally:
            self.scratch.sweep()

    def compare_database(self) -> dict[str, str]:
        """Load the dump into scratch schemas, and compare their tables, dumped again, with it and the manifest.

        Returns what `Database.models` reads in the scratch schema of MLflow.
        """
        disk, redirect, unchecked = Disk(DATABASE_FOLDER, self.settings.reserve), Redirect(), 0
        # The dump has no indexes. The size of the live tables does, but may be out of date.
        size = float(self.database.query(SIZE)[0][0])
        disk.refuse(max(size, 1.2 * self.manifest["parts"][DATABASE]["bytes"]), "The database of the backup")

        def change(line: bytes) -> bytes:
            nonlocal unchecked
            unchecked += len(line)
            if unchecked > STEP:
                disk.refuse(unchecked, "The next part of the database")
                unchecked = 0
            return redirect.line(line)

        with self.restore.part(DATABASE) as file:
            wanted = self.database.load(file, change)
        self.restore.same(DATABASE, wanted.digest.hexdigest())
        with Path(os.devnull).open("wb") as nowhere:
            found = self.database.dump(nowhere, redirect.schemas.values()) if redirect.schemas else Rows()
        if wrong := self.differing_tables(wanted, found, redirect.schemas):
            raise Refused(
                f"The database restored from the backup {self.manifest['run']} differs from it: "
                f"{'; '.join(wrong[:5])}; {len(wrong)} in all."
            )
        scratch = redirect.schemas.get(self.settings.database)
        return self.database.models(scratch) if scratch else {}

    def compare_models(self, models: dict[str, str], restored: set[str]) -> None:
        """Raise Refused if a model version of the restored database lacks its files, and had some before the backup.

        models: from compare_database. restored: the folders of the restored objects.
        """
        without = {folder for folder, what in self.manifest["models"].items() if what in self.manifest["missing"]}
        bucket = self.settings.bucket
        lacks = sorted(models[name] for name in models.keys() - without if f"{bucket}/{name}" not in restored)
        if lacks:
            raise Refused(
                f"The backup {self.manifest['run']} has no files of {', '.join(lacks[:5])}; {len(lacks)} in all."
            )

    def differing_tables(self, wanted: Rows, found: Rows, schemas: dict[str, str]) -> list[str]:
        """Return what differs: the number of a table's rows, or their values."""
        wrong = []
        for name, rows in self.manifest["rows"].items():
            schema, _, table = name.partition(".")
            scratch = schemas.get(schema, "")
            count = found.counts.get(f"{scratch}.{table}")
            if count != rows:
                wrong.append(f"{name} has {count or 0} rows of {rows}" if count is not None else f"{name} is missing")
            elif found.checksum(f"{scratch}.{table}") != wanted.checksum(name):
                wrong.append(f"{name} has other values")
        return wrong

    def compare_objects(self) -> set[str]:
        """Put the objects into the scratch bucket, batch by batch, and compare each batch. Return their folders."""
        copies = Copies(self.store, Disk(Path(self.settings.objects), self.settings.reserve))
        with self.restore.part(OBJECTS) as file:
            _, whole = unpack(file, copies.take)
        copies.compare()
        self.restore.same(OBJECTS, whole)
        return copies.folders


def prove(settings: Settings, folder: Path) -> str:
    """Test that the newest backup can be restored, record the result; return the message for the log."""
    if not backup.STATUS.read().get("last_success"):
        return "No backup of this machine has succeeded yet, so there is nothing to test."
    start = time.time()
    with failures_recorded(PROOF, PROOF.record_inconclusive):
        try:
            proof = Proof(settings, folder)
            proof.run()
        except HTTPError as error:
            raise Inconclusive(f"MinIO does not answer: {error}") from error
        made = proof.manifest
        told = {
            "run": made["run"],
            "seconds": round(time.time() - start, 1),
            "bytes": sum(part["bytes"] for part in made["parts"].values()),
            "rows": sum(made["rows"].values()),
            "tables": len(made["rows"]),
            "objects": sum(bucket["versions"] for bucket in made["buckets"].values()),
        }
        PROOF.record("", **told)
    return (
        f"The backup {told['run']} can be restored: {told['rows']} rows in {told['tables']} tables and "
        f"{told['objects']} versions of objects, {told['bytes'] / 1e6:.1f} MB, came back as they were, in "
        f"{told['seconds']} s."
    )
