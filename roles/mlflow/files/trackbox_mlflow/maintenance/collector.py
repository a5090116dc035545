"""Finds and removes garbage in MLflow's stores: rows that were marked deleted long ago, and files without a row."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from trackbox_mlflow import patches
from trackbox_mlflow.maintenance.artifact_store import ArtifactStore

SCHEME = "mlflow-artifacts:/"
# These queries select rows that were marked deleted at least `days` ago. An experiment is selected only if all its
# runs were also deleted that long ago.
RUNS = "SELECT run_uuid, artifact_uri FROM runs WHERE lifecycle_stage = 'deleted' AND deleted_time <= :before"
MODELS = (
    "SELECT model_id, artifact_location FROM logged_models "
    "WHERE lifecycle_stage = 'deleted' AND last_updated_timestamp_ms <= :before"
)
EXPERIMENTS = (
    "SELECT experiment_id, name FROM experiments e WHERE lifecycle_stage = 'deleted' AND last_update_time <= :before "
    "AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.experiment_id = e.experiment_id "
    "AND (r.lifecycle_stage <> 'deleted' OR COALESCE(r.deleted_time, :before + 1) > :before))"
)
CONTENTS = (
    "SELECT run_uuid FROM runs WHERE experiment_id = {0} "
    "UNION SELECT model_id FROM logged_models WHERE experiment_id = {0}"
)
SOURCES = "SELECT source, storage_location FROM model_versions WHERE current_stage <> 'Deleted_Internal'"
# MLflow's folders of files: EXPERIMENT/RUN/, EXPERIMENT/models/MODEL/, EXPERIMENT/traces/TRACE/. Other folders stay.
IDS = {
    r"\d+/([0-9a-f]{32})/": "SELECT run_uuid FROM runs",
    r"\d+/models/(m-[0-9a-f]{32})/": "SELECT model_id FROM logged_models",
    r"\d+/traces/(tr-[0-9a-f]{32})/": "SELECT request_id FROM trace_info",
}


class Collector:
    """One garbage collection. collect: False for a dry run. days: how long garbage is kept.

    state: the folder of the file that lists unreferenced folders.
    """

    def __init__(self, collect: bool, days: float, state: Path) -> None:
        """Connect to the database and to the artifact store."""
        self.collect, self.days, self.state, self.now = collect, days, state, time.time()
        self.before = int((self.now - days * 86400) * 1000)
        self.database = SqlAlchemyStore(os.environ["MLFLOW_BACKEND_STORE_URI"], SCHEME)
        self.files = ArtifactStore()
        self.registered = " ".join(str(value) for row in self.query(SOURCES) for value in row)
        self.errors: list[str] = []
        self.done = {"runs": 0, "models": 0, "experiments": 0, "folders": 0, "objects": 0, "bytes": 0, "kept": 0}

    def query(self, sql: str, **given: Any) -> list[Any]:
        """Return the rows of a query."""
        given |= {"before": self.before} if ":before" in sql else {}
        with self.database.engine.connect() as connection:
            return list(connection.execute(sqlalchemy.text(sql), given))

    def names(self, sql: str) -> set[str]:
        """Return the first column of a query."""
        return {str(row[0]) for row in self.query(sql)}

    def remove_files(self, folder: str) -> None:
        """Remove a folder's objects, and count them."""
        objects, size = self.files.remove(folder, pretend=not self.collect)
        self.done["objects"] += objects
        self.done["bytes"] += size

    def attempt(self, kind: str, name: str, step: Callable[[], None]) -> None:
        """Print the item, and run `step`, which collects it. An error is recorded, and the collection continues."""
        print(f"{'Collect' if self.collect else 'Would collect'} {kind} {name}", flush=True)
        try:
            step()
        except Exception as error:
            self.errors.append(f"{kind} {name}: {type(error).__name__} {str(error).partition(chr(10))[0]}")

    def run(self) -> None:
        """Collect deleted rows with their files, then files without a row."""
        gone: set[str] = set()
        if patches.HARD_DELETE.get():
            self.collect_rows("run", RUNS, self.database._hard_delete_run)
            self.collect_rows("model", MODELS, self.database._hard_delete_logged_model)
            gone = self.collect_rows("experiment", EXPERIMENTS, self.database._hard_delete_experiment)
        else:
            self.errors.append(f"deleted rows: {patches.HARD_DELETE.without}")
        self.collect_orphans(gone)

    def collect_rows(self, kind: str, sql: str, delete: Callable[[str], None]) -> set[str]:
        """Collect deleted runs, models or experiments; return their names."""
        gone = set()
        for number, location in self.query(sql):
            name = str(number)
            parts = {name} if kind != "experiment" else {f"{SCHEME}{name}/", *self.names(CONTENTS.format(int(number)))}
            if any(part in self.registered for part in parts):
                print(f"Keep {kind} {name}: a registered model uses its files", flush=True)
                self.done["kept"] += 1
                continue
            self.attempt(kind, name, lambda name=name, at=location: self.collect_row(kind, name, at, sql, delete))  # type: ignore[misc]
            gone.add(name)
        return gone

    def collect_row(self, kind: str, name: str, location: str, sql: str, delete: Callable[[str], None]) -> None:
        """Delete the row of a run, model or experiment, then its files.

        If the collection is interrupted after the first step, the files remain, and a later collection finds them.
        In the other order, an interruption would leave a run whose files are missing.
        """
        if self.collect:
            identifier = sql.split()[1].strip(",")
            if not self.query(f"{sql} AND {identifier} = :name", name=name):
                return  # a user has restored the run, model or experiment since `collect_rows` found its row
            delete(name)
        if kind != "experiment" and location.startswith(SCHEME) and name in location:
            self.remove_files(f"{location.removeprefix(SCHEME).lstrip('/').partition(name)[0]}{name}/")
        self.done[f"{kind}s"] += 1

    def collect_orphans(self, gone: set[str]) -> None:
        """Collect folders whose run, model or trace has been missing for `days`.

        If MLflow uses a wrong database by mistake, an administrator has this time to notice it before files are
        removed. gone: experiments whose folders are removed at once.
        """
        file = self.state / "unreferenced.json"
        seen: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}
        experiments = [folder for folder in self.files.folders() if re.fullmatch(r"\d+/", folder)]
        inside = [folder for experiment in experiments for folder in self.files.folders(experiment)]
        parents = [folder for folder in inside if folder.endswith(("/models/", "/traces/"))]
        folders = [*inside, *(folder for parent in parents for folder in self.files.folders(parent))]
        orphans: dict[str, float] = {}
        for shape, sql in IDS.items():
            known = self.names(sql)
            for folder in folders:
                match = re.fullmatch(shape, folder)
                if match and match[1] not in known and match[1] not in self.registered:
                    orphans[folder] = seen.get(folder, self.now)
        for folder, since in sorted(orphans.items()):
            if folder.partition("/")[0] in gone or since <= self.now - self.days * 86400:
                self.done["folders"] += 1
                self.attempt("unreferenced", folder, lambda folder=folder: self.remove_files(folder))  # type: ignore[misc]
        if self.collect:
            file.write_text(json.dumps(orphans, indent=1) + "\n")
