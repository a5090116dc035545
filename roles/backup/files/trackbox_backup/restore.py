"""Restores a backup: checks it first, replaces database and objects, then compares them with the backup."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from trackbox_backup.backup import DATABASE, FOLDERS, FORMAT, OBJECTS, SECRET, TAG, WHOLE, newest_manifest
from trackbox_backup.database import ALIASES, CONVERTING, REVISION, WORK, Database
from trackbox_backup.objects import Identity, sha256, unpack
from trackbox_backup.refused import Refused
from trackbox_backup.repository import Repository, newest
from trackbox_backup.settings import DATABASE_FOLDER, HALF, Settings
from trackbox_backup.store import BUCKETS, IAM, Store, Version


def nothing(_: Version, __: IO[bytes]) -> None:
    """Do nothing with a version, because read_all() only computes its SHA-256."""


def unpack_folders(file: IO[bytes], folders: Sequence[str], root: str = "/") -> None:
    """Replace these folders and files by those in the tar. Other members of the tar are skipped."""
    for folder in folders:
        path = Path(root, folder.lstrip("/"))
        path.unlink(missing_ok=True) if path.is_file() else shutil.rmtree(path, ignore_errors=True)
    kept = tuple(f"{folder.strip('/')}/" for folder in folders)
    with tarfile.open(fileobj=file, mode="r|") as tar:
        for member in tar:
            if f"{member.name}/".startswith(kept) and ".." not in Path(member.name).parts:
                tar.extract(member, root)
        while file.read(1 << 16):
            pass


class Restore:
    """A restore of one backup onto this machine."""

    def __init__(self, settings: Settings, folder: Path, run: str) -> None:
        """Find the backup. run: its name, or `latest` for the newest complete one."""
        self.settings = settings
        self.repository = Repository(settings, folder)
        self.database, self.store = Database(settings), Store(settings)
        self.repository.open(make=False)
        known = [one for one in self.repository.snapshots(TAG, WHOLE) if run in ("latest", *one["tags"])]
        if not known:
            which = "no backup that is whole" if run == "latest" else f"no backup {run} that is whole"
            raise Refused(f"The repository {settings.target} holds {which} (restore_backup).")
        if run == "latest":
            known = self.of_one_host(known)
        self.manifest = newest_manifest(self.repository, known)
        if self.manifest["format"] > FORMAT:
            raise Refused(
                f"The backup {self.manifest['run']} has the format {self.manifest['format']}, and this Trackbox reads "
                f"{FORMAT}: restore it by the Trackbox that made it, or a newer one."
            )

    def of_one_host(self, known: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return this host's backups. If it has none, return those of the only other host.

        Raises Refused if several other hosts have backups.
        """
        mine = [one for one in known if one["hostname"] == self.settings.host]
        hosts = sorted({str(one["hostname"]) for one in known})
        if not mine and len(hosts) > 1:
            runs = ", ".join(f"{host}'s newest is {self.run_of(known, host)}" for host in hosts)
            raise Refused(
                f"The repository {self.settings.target} holds backups of several hosts, and none of "
                f"{self.settings.host}: {runs}. Set restore_backup to the one that you want."
            )
        return mine or known

    @staticmethod
    def run_of(known: list[Mapping[str, Any]], host: str) -> str:
        """Return the name of this host's newest backup."""
        one = newest([one for one in known if one["hostname"] == host])
        return next(str(tag) for tag in one["tags"] if tag not in (TAG, WHOLE))

    def look(self) -> dict[str, Any]:
        """Return the backup's name and host, and whether this machine holds data.

        Raises Refused if the backup is incompatible with the machine.
        """
        made, half = self.manifest, HALF.exists()
        # After an interrupted restore the database may be incomplete, so read the schema's revision from the file HALF.
        here = HALF.read_text().strip() if half else self.database.query(REVISION)[0][0].removeprefix(CONVERTING)
        if made["revision"] != here:
            raise Refused(
                f"The backup {made['run']} holds MLflow's schema {made['revision']}, and the MLflow installed here "
                f"works with {here}: restore it by the Trackbox that made it, and upgrade then."
            )
        self.refuse_another_server()
        holds = half or int(self.database.query(WORK)[0][0]) > 0
        holds = holds or any(True for bucket in self.store.buckets() for _ in self.store.versions(bucket))
        return {"run": made["run"], "host": made["host"], "holds_data": holds}

    def refuse_another_server(self) -> None:
        """Refuse a backup of another database server."""
        made = self.manifest
        if made["flavor"] != self.settings.flavor:
            raise Refused(
                f"The backup {made['run']} comes from {made['flavor']}, and mysql_flavor is {self.settings.flavor} "
                f"here: set it to {made['flavor']} and run site.yml first."
            )

    def lacks(self) -> str:
        """Return an error message that names the disks that are too small for the backup; empty if it fits.

        The space of the present objects counts as free, because the restore deletes them first.
        """
        disks: dict[int, list[Any]] = {}
        gone = sum(version.size for bucket in self.store.buckets() for version in self.store.versions(bucket))
        for folder, name, leaves in (
            (DATABASE_FOLDER, DATABASE, 0),
            (Path(self.settings.objects), OBJECTS, gone),
        ):
            disk = disks.setdefault(folder.stat().st_dev, [folder, 0, shutil.disk_usage(folder).free])
            disk[1] += int(self.manifest["parts"][name]["bytes"] * 1.2)
            disk[2] += leaves
        return " ".join(
            f"takes {need / 10**6:.1f} MB in {folder}, and there is room for {room // 10**6} MB: give it a larger disk."
            for folder, need, room in disks.values()
            if need > room
        )

    def part(self, name: str) -> Any:
        """Open a part of the backup."""
        return self.repository.read(self.manifest["parts"][name]["snapshot"], name)

    def same(self, name: str, sha256: str) -> None:
        """Raise Refused if a part's SHA-256 differs from that in the manifest."""
        if sha256 != self.manifest["parts"][name]["sha256"]:
            raise Refused(f"{name} of the backup {self.manifest['run']} is not what was backed up.")

    def read_all(self) -> None:
        """Read the backup's dump and objects, and check their SHA-256, before any data is overwritten."""
        with self.part(DATABASE) as file:
            self.same(DATABASE, sha256(file))
        with self.part(OBJECTS) as file:
            self.same(OBJECTS, unpack(file, nothing)[1])

    def secrets(self) -> dict[str, bytes]:
        """Return the files of the part `settings.tar`, by name."""
        with self.part(SECRET) as file, tarfile.open(fileobj=file, mode="r|") as tar:
            found = {member.name: (tar.extractfile(member) or file).read() for member in tar}
            while file.read(1 << 16):
                pass
        return found

    def write(self) -> dict[Identity, str]:
        """Replace database, buckets, users and objects; return the objects' SHA-256."""
        HALF.write_text(self.manifest["revision"] + "\n")
        with self.part(DATABASE) as file:
            rows = self.database.load(file)
        self.same(DATABASE, rows.digest.hexdigest())
        for bucket in self.manifest["buckets"]:
            self.store.empty(bucket)
        found = self.secrets()
        self.store.bring(IAM, found[f"minio/{IAM}.zip"])
        self.store.bring(BUCKETS, found[f"minio/{BUCKETS}.zip"])
        with self.part(OBJECTS) as file:
            digests, whole = unpack(file, self.store.put)
        self.same(OBJECTS, whole)
        if FOLDERS in self.manifest["parts"]:
            with self.part(FOLDERS) as file:
                unpack_folders(file, self.settings.folders)
        return digests

    def prove(self, digests: dict[Identity, str]) -> dict[str, Any]:
        """Compare the restored data with the backup; return the counts. restore.yml removes the file HALF later."""
        made, wrong = self.manifest, []
        counts = self.database.counts(list(made["rows"]))
        wrong += [
            f"{name} has {counts.get(name)} rows of {n}" for name, n in made["rows"].items() if counts.get(name) != n
        ]
        if self.database.query(ALIASES) != made["aliases"]:
            wrong.append("the aliases are others")
        left, folders = dict(digests), set()
        for bucket in made["buckets"]:
            for version in self.store.versions(bucket):
                digest = ""
                if not version.deleted:
                    response = self.store.get(version)
                    digest = sha256(response) if response else "gone"
                    folders |= {f"{version.key[: n + 1]}" for n, letter in enumerate(version.key) if letter == "/"}
                if left.pop((bucket, version.key, version.version), None) != digest:
                    wrong.append(f"{bucket}/{version.key} (version {version.version}) is another")
        wrong += [f"{bucket}/{key} (version {number}) is missing" for bucket, key, number in left]
        models = self.database.models()
        lacks = {what for folder, what in models.items() if folder not in folders}
        wrong += [f"{what} has no files" for what in sorted(lacks - set(made["missing"]))]
        if wrong:
            raise Refused(
                f"The restored data differs from the backup {made['run']}: {'; '.join(wrong[:5])}; {len(wrong)} in all."
            )
        return {
            "run": made["run"],
            "rows": sum(counts.values()),
            "tables": len(counts),
            "versions": len(digests),
            "bytes": sum(bucket["bytes"] for bucket in made["buckets"].values()),
            "models": len(models),
            "aliases": len(made["aliases"]),
        }
