"""The schemas and the bucket that a restore test fills and removes. Their names are reserved."""

from __future__ import annotations

from trackbox_backup.database import UNLOGGED, Database
from trackbox_backup.refused import Inconclusive
from trackbox_backup.settings import PROVING
from trackbox_backup.store import Store

# Scratch schemas have this name and a number.
SCHEMA = "trackbox_proof_"
OURS = f"REGEXP '^{SCHEMA}[0-9]+$'"
SCHEMAS = f"SELECT schema_name FROM information_schema.schemata WHERE schema_name {OURS}"
FILLED = f"SELECT DISTINCT table_schema FROM information_schema.tables WHERE table_schema {OURS}"


class Scratch:
    """The scratch schemas and the scratch bucket. They belong to restore tests while the file PROVING exists."""

    def __init__(self, database: Database, store: Store) -> None:
        """Keep the database and the store."""
        self.database, self.store = database, store
        self.bucket = store.settings.scratch_bucket

    def claim(self) -> None:
        """Remove what an earlier test left, and create the bucket.

        Raises Inconclusive if a schema or the bucket contains something that no restore test put there.
        """
        self.sweep()
        for [name] in self.database.query(FILLED):
            raise Inconclusive(
                f"The schema {name} holds tables, and no restore test made it: rename or drop it, because restore "
                "tests need this name."
            )
        if self.bucket in self.store.buckets() and any(True for _ in self.store.versions(self.bucket)):
            raise Inconclusive(
                f"The bucket {self.bucket} holds objects, and no restore test made it: move them to another bucket, "
                "because restore tests need this name."
            )
        PROVING.touch()
        self.drop_schemas()
        self.store.versioned(self.bucket)

    def drop_schemas(self) -> None:
        """Drop the scratch schemas."""
        for [name] in self.database.query(SCHEMAS):
            self.database.query(f"{UNLOGGED}; DROP DATABASE IF EXISTS `{name}`")

    def sweep(self) -> bool:
        """Remove the scratch schemas and the bucket; return whether a restore test had left some."""
        if not PROVING.exists():
            return False
        self.drop_schemas()
        if self.bucket in self.store.buckets():
            self.store.empty(self.bucket)
            self.store.sdk.remove_bucket(bucket_name=self.bucket)
        PROVING.unlink(missing_ok=True)
        return True
