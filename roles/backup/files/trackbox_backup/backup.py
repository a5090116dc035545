"""Makes a backup: first the database, then the objects that it refers to.

A backup is complete once its parts were checked and its manifest was stored. Only complete backups can be restored.
"""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from trackbox_host.status import Status, timestamp

from trackbox_backup.database import ALIASES, REVISION, TABLES_OF_WORK, WORK, Database, Rows
from trackbox_backup.objects import Hashing, Packed, pack, sha256
from trackbox_backup.refused import Inconclusive, Refused
from trackbox_backup.repository import Full, Repository, newest
from trackbox_backup.scratch import Scratch
from trackbox_backup.settings import HALF, REWRAPPING, SECRETS, STATE, UPGRADING, Settings
from trackbox_backup.store import BUCKETS, IAM, Store

STATUS = Status(
    STATE,
    "backup",
    {
        "duration_seconds": ("seconds", "How long the last successful one took."),
        "bytes": ("bytes", "What it holds, before deduplication."),
    },
)
# The version of the backup's format. A restore refuses a backup of a later version.
FORMAT = 1
TRIES = 5
TAG, WHOLE = "trackbox", "complete"
DATABASE, OBJECTS, SECRET, MANIFEST = "database.sql", "objects.tar", "settings.tar", "manifest.json"
# This part exists only if a role declares folders to back up.
FOLDERS = "folders.tar"


@contextmanager
def failures_recorded(status: Status, inconclusive: Callable[[str], None] | None = None) -> Iterator[None]:
    """Record in the status why the body failed. inconclusive: records an Inconclusive instead."""
    try:
        yield
    except Inconclusive as refused:
        (inconclusive or status.record)(str(refused))
        raise
    except Refused as refused:
        status.record(str(refused))
        raise
    except BaseException as error:
        status.record(f"It broke off: {type(error).__name__} {error}".strip())
        raise


def pack_settings(store: Store, out: IO[bytes]) -> None:
    """Write a tar of the files under /etc/trackbox, and of MinIO's users, policies and bucket settings."""
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for what in (IAM, BUCKETS):
            packed = store.export(what)
            member = tarfile.TarInfo(f"minio/{what}.zip")
            member.size, member.mode = len(packed), 0o600
            tar.addfile(member, io.BytesIO(packed))
        for path in sorted(SECRETS.rglob("*")):
            # Leave out the repository's password and credentials, because reading this backup requires them anyway.
            if path.is_file() and not path.is_relative_to(SECRETS / "backup"):
                tar.add(path, str(path).lstrip("/"))


def pack_folders(folders: Sequence[str], out: IO[bytes]) -> None:
    """Write a tar of the folders and files, with their owners' names. Skip files that a service deletes meanwhile."""
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for folder in folders:
            for path in [Path(folder), *sorted(Path(folder).rglob("*"))]:
                with suppress(FileNotFoundError):
                    tar.add(path, recursive=False)


def newest_manifest(repository: Repository, whole: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the manifest of the newest of these snapshots."""
    with repository.read(newest(whole)["id"], MANIFEST) as file:
        found: dict[str, Any] = json.loads(file.read())
    return found


class Backup:
    """One backup run. A backup is complete once its manifest is stored."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        """Set up the run. folder: a private folder for temporary files."""
        self.settings, self.start = settings, time.time()
        self.run = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.start))
        self.repository = Repository(settings, folder)
        self.database, self.store = Database(settings), Store(settings)
        self.parts: dict[str, dict[str, Any]] = {}
        self.added = 0

    def save(self, name: str, write: Callable[[IO[bytes]], Any], *tags: str) -> Any:
        """Store one part of the backup in the repository, record its SHA-256, and return the result of `write`."""
        written: list[tuple[Hashing, Any]] = []

        def through(out: IO[bytes]) -> None:
            hashing = Hashing(out)
            written.append((hashing, write(hashing)))  # type: ignore[arg-type]

        summary = self.repository.save(name, [TAG, self.run, *tags], through)
        [(hashing, result)] = written
        self.parts[name] = {
            "snapshot": summary["snapshot_id"],
            "sha256": hashing.digest.hexdigest(),
            "bytes": hashing.seen,
        }
        self.added += summary.get("data_added", 0)
        return result

    def verify_part(self, name: str) -> None:
        """Read a part back from the repository, and compare its SHA-256 with that of the part that was written."""
        with self.repository.read(self.parts[name]["snapshot"], name) as file:
            found = sha256(file)
        if found != self.parts[name]["sha256"]:
            raise Refused(f"The target {self.settings.target} gave {name} back as another file.")

    def forget(self) -> None:
        """Delete this host's expired backups (`backup_keep`), and the parts that its interrupted backups left.

        Snapshots of other hosts in the same repository stay, because one of their backups may be running.
        """
        keep = [word for unit, count in self.settings.keep.items() if count for word in (f"--keep-{unit}", str(count))]
        own = ["--host", self.settings.host]
        self.repository.run("forget", "--quiet", *own, "--tag", f"{TAG},{WHOLE}", "--group-by", "", *keep)
        mine = [one for one in self.repository.snapshots(TAG) if one["hostname"] == self.settings.host]
        runs = {tag for one in mine if WHOLE in one["tags"] for tag in one["tags"]} | {self.run}
        old = [one["id"] for one in mine if not runs & {*one["tags"]} - {TAG, WHOLE}]
        if old:
            self.repository.run("forget", "--quiet", *old)
        self.repository.run("prune", "--quiet")

    def manifest(self, rows: Rows, packed: Packed, models: dict[str, str], aliases: list[list[str]]) -> dict[str, Any]:
        """Return the manifest, which lists the backup's contents. A restore compares the restored data with it."""
        bucket = self.settings.bucket
        return {
            "format": FORMAT,
            "run": self.run,
            "host": self.settings.host,
            "began": timestamp(self.start),
            "flavor": self.settings.flavor,
            "revision": self.database.query(REVISION)[0][0],
            "parts": self.parts,
            "rows": dict(sorted(rows.counts.items())),
            "aliases": aliases,
            "models": models,
            "missing": sorted(what for folder, what in models.items() if f"{bucket}/{folder}" not in packed.folders),
            "buckets": packed.buckets,
            "gone": packed.gone,
        }

    def refuse_empty_machine(self) -> None:
        """Refuse to back up a machine without runs, models and traces if the newest backup has some.

        Such a machine needs a restore first.
        """
        whole = self.repository.snapshots(TAG, WHOLE)
        if not whole or int(self.database.query(WORK)[0][0]):
            return
        made = newest_manifest(self.repository, whole)
        if any(made["rows"].get(f"{self.settings.database}.{table}") for table in TABLES_OF_WORK):
            raise Refused(
                f"This machine has no runs, models and traces, and the newest backup in {self.settings.target}, of "
                f"{made['host']}, has some: type restore.yml first, or name another backup_target."
            )

    def dump_consistently(self) -> tuple[Rows, dict[str, str], list[list[str]]]:
        """Store a dump of the database; return its row counts, model versions and aliases.

        The dump is repeated if model versions or aliases changed during it.
        """
        named = self.database.models(), self.database.query(ALIASES)
        for _ in range(TRIES):
            rows: Rows = self.save(DATABASE, self.database.dump)
            before, named = named, (self.database.models(), self.database.query(ALIASES))
            if before == named:
                return rows, *named
        raise Refused(
            f"Registered models or aliases changed during each of {TRIES} dumps: type it again at another time."
        )

    def create(self) -> dict[str, Any]:
        """Store and check the parts of the backup. Then store and return the manifest, which completes the backup."""
        if HALF.exists():
            raise Refused(
                "A restore onto this machine did not end, so nothing whole is here to back up: type restore.yml again."
            )
        if any(path.is_symlink() or path.exists() for path in UPGRADING):
            raise Refused(
                "An upgrade of this machine did not end, so nothing whole is here to back up: type upgrade.yml again."
            )
        # Refuse during a rotation, because the machine's passphrase may not decrypt the secrets in the database.
        if REWRAPPING.exists():
            raise Refused(
                "A rotation of mlflow_encryption_passphrase did not end, so a backup could lack the passphrase of the "
                "secrets in the database: type rotate-secrets.yml -e rotate=mlflow_encryption_passphrase again."
            )
        # Remove what a restore test left when the machine lost power. Otherwise the backup would contain it.
        Scratch(self.database, self.store).sweep()
        self.repository.open(make=True)
        self.refuse_empty_machine()
        rows, models, aliases = self.dump_consistently()
        self.save(SECRET, lambda out: pack_settings(self.store, out))
        packed: Packed = self.save(OBJECTS, lambda out: pack(self.store, out))
        if self.settings.folders:
            self.save(FOLDERS, lambda out: pack_folders(self.settings.folders, out))
        self.forget()
        self.verify_part(DATABASE)
        self.verify_part(SECRET)
        if FOLDERS in self.parts:
            self.verify_part(FOLDERS)
        self.repository.run("check", f"--read-data-subset={self.settings.read_data}")
        manifest = self.manifest(rows, packed, models, aliases)
        self.save(MANIFEST, lambda out: out.write(json.dumps(manifest).encode()), WHOLE)
        self.verify_part(MANIFEST)
        return manifest

    def create_and_report(self) -> dict[str, Any]:
        """Make the backup, and record its result for monitoring; return the numbers for the log."""
        try:
            with failures_recorded(STATUS):
                manifest = self.create()
        except Full:
            with suppress(Refused):
                self.forget()  # frees the space that the incomplete backup uses
            raise
        size = sum(part["bytes"] for part in self.parts.values())
        seconds = round(time.time() - self.start, 1)
        counts = {
            "rows": sum(manifest["rows"].values()),
            "objects": sum(b["versions"] for b in manifest["buckets"].values()),
        }
        told = {"run": self.run, "seconds": seconds, "bytes": size, "added": self.added, "missing": manifest["missing"]}
        STATUS.record("", **told, **counts)
        return {**told, **counts}


def make(settings: Settings, folder: Path) -> str:
    """Make a backup; return the message for the log."""
    told = Backup(settings, folder).create_and_report()
    lacks = f" Missing before it began: files of {', '.join(told['missing'])}." if told["missing"] else ""
    return (
        f"Backup {told['run']} is whole and was read back: {told['rows']} rows and {told['objects']} versions of "
        f"objects, {told['bytes'] / 1e6:.1f} MB, {told['added'] / 1e6:.1f} MB of it new, in {told['seconds']} s.{lacks}"
    )
