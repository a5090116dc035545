"""Collect what was deleted long ago, and files that nothing names any more.

garbage.py look|collect DAYS

Rows go by MLflow's own store, each by itself, then their files. `mlflow gc` (3.17) would delete what a registered model
is made of, give up at the first run that it cannot delete, and leave what belongs to no row.
"""

import fcntl
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import sqlalchemy
from botocore.config import Config
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

STATE = Path(os.environ["STATE_DIRECTORY"])
BUCKET, _, ROOT = os.environ["MLFLOW_ARTIFACTS_DESTINATION"].removeprefix("s3://").strip("/").partition("/")
SCHEME = "mlflow-artifacts:/"
# Deleted before the waiting time began. An experiment only if nothing in it was deleted later.
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
INSIDE = (
    "SELECT run_uuid FROM runs WHERE experiment_id = {0} "
    "UNION SELECT model_id FROM logged_models WHERE experiment_id = {0}"
)
SOURCES = (
    "SELECT CONCAT_WS(' ', source, storage_location) FROM model_versions WHERE current_stage <> 'Deleted_Internal'"
)
# Where MLflow keeps files: EXPERIMENT/RUN/, EXPERIMENT/models/MODEL/, EXPERIMENT/traces/TRACE/. Others are left alone.
IDS = {
    r"\d+/([0-9a-f]{32})/": "SELECT run_uuid FROM runs",
    r"\d+/models/(m-[0-9a-f]{32})/": "SELECT model_id FROM logged_models",
    r"\d+/traces/(tr-[0-9a-f]{32})/": "SELECT request_id FROM trace_info",
}
METRICS = "".join(
    f"# HELP trackbox_garbage_{name} {text}\n# TYPE trackbox_garbage_{name} gauge\ntrackbox_garbage_{name} {{{key}}}\n"
    for name, key, text in (
        ("last_success_timestamp_seconds", "last_success_unix", "When the last collection ended that met no error."),
        ("failed", "failed", "Whether the last one met an error."),
        ("bytes", "bytes", "What the last one freed."),
    )
)


class Garbage:
    """What there is to collect, and what came of it. Where it only looks, nothing changes."""

    def __init__(self, collect: bool, days: float) -> None:
        """Connect to the database and to the artifact store."""
        self.collect, self.days, self.now = collect, days, time.time()
        self.before = int((self.now - days * 86400) * 1000)
        self.database = SqlAlchemyStore(os.environ["MLFLOW_BACKEND_STORE_URI"], SCHEME)
        options = Config(connect_timeout=10, read_timeout=60, retries={"max_attempts": 3})
        self.s3 = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"], config=options)
        self.registered = " ".join(source for [source] in self.query(SOURCES))
        self.errors: list[str] = []
        self.done = {"runs": 0, "models": 0, "experiments": 0, "folders": 0, "objects": 0, "bytes": 0, "kept": 0}

    def query(self, sql: str, **given: Any) -> list[Any]:
        """Return the rows of a query."""
        given |= {"before": self.before} if ":before" in sql else {}
        with self.database.engine.connect() as connection:
            return list(connection.execute(sqlalchemy.text(sql), given))

    def pages(self, folder: str, **options: str) -> Iterator[dict[str, Any]]:
        """List what is in a folder of the artifact store."""
        prefix = f"{ROOT}/{folder}" if ROOT else folder
        found: Iterator[dict[str, Any]] = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=BUCKET, Prefix=prefix, **options
        )
        yield from found

    def folders(self, folder: str = "") -> Iterator[str]:
        """Return the folders in a folder."""
        for page in self.pages(folder, Delimiter="/"):
            yield from (found["Prefix"][len(ROOT) + 1 if ROOT else 0 :] for found in page.get("CommonPrefixes", []))

    def remove(self, folder: str) -> None:
        """Remove a folder's objects, and count them."""
        for page in self.pages(folder):
            objects = page.get("Contents", [])
            if objects and self.collect:
                keys = {"Objects": [{"Key": one["Key"]} for one in objects], "Quiet": True}
                if refused := self.s3.delete_objects(Bucket=BUCKET, Delete=keys).get("Errors"):
                    raise OSError(f"{refused[0]['Key']} stays: {refused[0]['Message']}")
            self.done["objects"] += len(objects)
            self.done["bytes"] += sum(one["Size"] for one in objects)

    def one(self, what: str, name: str, step: Callable[[], None]) -> None:
        """Collect one thing, and go on where it fails."""
        print(f"{'Collect' if self.collect else 'Would collect'} {what} {name}", flush=True)
        try:
            step()
        except Exception as error:
            self.errors.append(f"{what} {name}: {type(error).__name__} {str(error).partition(chr(10))[0]}")

    def rows(self, what: str, sql: str, delete: Callable[[str], None]) -> set[str]:
        """Collect runs, models or experiments that were deleted; return which."""
        gone = set()
        for number, where in self.query(sql):
            name = str(number)
            parts = {name} if what != "experiment" else {f"{SCHEME}{name}/", *self.names(INSIDE.format(int(number)))}
            if any(part in self.registered for part in parts):
                print(f"Keep {what} {name}: a registered model is made of its files", flush=True)
                self.done["kept"] += 1
                continue

            def step(name: str = name, where: str = where) -> None:
                if self.collect:
                    if not self.query(f"{sql} AND {sql.split()[1].strip(',')} = :name", name=name):
                        return  # somebody took it back meanwhile
                    delete(name)
                # The row first: a file without its row is found by itself, a row without its file is a broken run.
                if what != "experiment" and where.startswith(SCHEME) and name in where:
                    self.remove(f"{where.removeprefix(SCHEME).lstrip('/').partition(name)[0]}{name}/")
                self.done[f"{what}s"] += 1

            self.one(what, name, step)
            gone.add(name)
        return gone

    def names(self, sql: str) -> set[str]:
        """Return the first column of a query."""
        return {str(row[0]) for row in self.query(sql)}

    def orphans(self, gone: set[str]) -> None:
        """Collect folders whose run, model or trace is no more, once they have been so for the waiting time.

        An empty database beside a full bucket is a mistake that there is time to mend.
        gone: experiments, whose folders go at once.
        """
        file = STATE / "unreferenced.json"
        seen: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}
        first = [folder for folder in self.folders() if re.fullmatch(r"\d+/", folder)]
        second = [folder for one in first for folder in self.folders(one)]
        parents = [one for one in second if one.endswith(("/models/", "/traces/"))]
        there = [*second, *(folder for one in parents for folder in self.folders(one))]
        found: dict[str, float] = {}
        for shape, sql in IDS.items():
            known = self.names(sql)
            for folder in there:
                match = re.fullmatch(shape, folder)
                if match and match[1] not in known and match[1] not in self.registered:
                    found[folder] = seen.get(folder, self.now)
        for folder, since in sorted(found.items()):
            if folder.partition("/")[0] in gone or since <= self.now - self.days * 86400:
                self.done["folders"] += 1
                self.one("unreferenced", folder, lambda folder=folder: self.remove(folder))  # type: ignore[misc]
        if self.collect:
            file.write_text(json.dumps(found, indent=1) + "\n")


def note(error: str, **news: Any) -> None:
    """Tell monitoring what came of it; files that everybody reads, replaced whole."""
    path = STATE / "last.json"
    known: dict[str, Any] = {"last_success": None, "last_success_unix": 0, "bytes": 0}
    known |= json.loads(path.read_text()) if path.exists() else {}
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    known |= news | {"error": error, "last_try": now}
    if not error:
        known |= {"last_success": now, "last_success_unix": int(time.time())}
    told = json.dumps(known, indent=2, sort_keys=True) + "\n"
    for name, text in (
        ("last.json", told),
        ("trackbox_garbage.prom", METRICS.format(failed=int(bool(error)), **known)),
    ):
        new = STATE / f".{name}"
        new.write_text(text)
        new.chmod(0o644)
        new.replace(STATE / name)


def put_forward(days: float) -> float:
    """Return by how many days the clock was put forward since the last time: what looks old then may be of today.

    After a restart that is a guess: no more than a month and the waiting time lie between two collections.
    """
    file = STATE / "clock.json"
    now: dict[str, Any] = {"boot": os.environ["BOOT"], "time": time.time()}
    now["up"] = time.clock_gettime(time.CLOCK_BOOTTIME)
    last = json.loads(file.read_text()) if file.exists() else now
    file.write_text(json.dumps(now) + "\n")
    by_itself = now["up"] - last["up"] if now["boot"] == last["boot"] else (days + 31) * 86400
    ahead: float = now["time"] - last["time"] - by_itself
    return ahead / 86400


def main(what: str, days: float) -> str:
    """Look or collect; return the error."""
    if days <= 0:
        return "mlflow_gc_days is 0, so that what was deleted stays for ever: nothing was collected."
    collect = what == "collect"
    with Path("/run/trackbox.lock").open() as lock:
        if collect:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return "Nothing was collected: a backup, restore, upgrade, rotation or removal is at work."
            if (ahead := put_forward(days)) > 1 / 24:
                return (
                    f"Nothing was collected: since the last time the clock was put forward by {ahead:.1f} days, or the "
                    "machine was off for that long. If it is right now, the next collection goes on."
                )
        garbage = Garbage(collect, days)
        garbage.rows("run", RUNS, garbage.database._hard_delete_run)
        garbage.rows("model", MODELS, garbage.database._hard_delete_logged_model)
        gone = garbage.rows("experiment", EXPERIMENTS, garbage.database._hard_delete_experiment)
        garbage.orphans(gone)
        error = "; ".join(garbage.errors)
        if collect:
            note(error, **garbage.done)
    verb = "Collected" if collect else "Would collect"
    said = (
        "{runs} runs, {models} models, {experiments} experiments and {folders} unreferenced folders: {objects} objects"
    )
    print(f"{verb} {said.format(**garbage.done)}, {garbage.done['bytes'] / 1e6:.1f} MB.")
    return error


if __name__ == "__main__":
    try:
        failed = main(sys.argv[1], float(sys.argv[2]))
    except Exception as broken:
        failed = f"It broke off: {type(broken).__name__} {broken}"
    if failed:
        if sys.argv[1] == "collect":
            note(failed)
        sys.exit(failed)
