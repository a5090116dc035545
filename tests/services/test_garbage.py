"""In a real object store, garbage collection removes only the objects of entities that were deleted long ago."""

from __future__ import annotations

import fcntl
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from asgi import empty_database
from servers import s3_endpoint, s3_environment
from sqlalchemy import text
from trackbox_host import lock
from trackbox_mlflow.maintenance import garbage

pytest.importorskip("mlflow")
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from trackbox_mlflow.maintenance.collector import RUNS, Collector

__all__ = ["empty_database", "s3_endpoint"]

LONG = 31 * 86_400_000  # milliseconds
ORPHAN = f"7/{'0' * 32}/"


@pytest.fixture
def stores(
    s3_endpoint: str, empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[SqlAlchemyStore, Any, dict[str, str]]:
    """The tracking store, a function that lists the bucket, and the ids of existing and deleted entities."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    bucket = f"b{time.time_ns()}"
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    given = s3_environment(s3_endpoint) | {
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_S3_ENDPOINT_URL": s3_endpoint,
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{bucket}/kept",
        "STATE_DIRECTORY": str(tmp_path),
        "BOOT": "1",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(lock, "LOCK", tmp_path / "lock")
    (tmp_path / "lock").touch()
    s3 = boto3.client("s3", endpoint_url=s3_endpoint)
    s3.create_bucket(Bucket=bucket)
    store, registry = SqlAlchemyStore(uri, "mlflow-artifacts:/"), Registry(uri)

    def put(folder: str) -> None:
        s3.put_object(Bucket=bucket, Key=f"kept/{folder.strip('/')}/artifacts/file", Body=b"12345")

    made: dict[str, str] = {}
    for name in ("live", "fresh", "old", "registered"):
        run = store.create_run("0", "u", 1, [], name).info
        made[name] = run.run_id
        put(f"0/{run.run_id}")
        if name == "registered":
            registry.create_registered_model("m")
            registry.create_model_version("m", f"{run.artifact_uri}/model", run.run_id)
        if name != "live":
            store.delete_run(run.run_id)
    model = store.create_logged_model("0", "model", made["live"]).model_id
    store.delete_logged_model(model)
    put(f"0/models/{model}")
    experiment = store.create_experiment("gone")
    inside = store.create_run(experiment, "u", 1, [], "inside").info.run_id
    put(f"{experiment}/{inside}")
    store.delete_experiment(experiment)
    put(ORPHAN)
    put("notes/of somebody")
    with store.engine.begin() as connection:
        for table, column, where in (
            ("runs", "deleted_time", f"run_uuid <> '{made['fresh']}'"),
            ("logged_models", "last_updated_timestamp_ms", "1 = 1"),
            ("experiments", "last_update_time", f"experiment_id = {experiment}"),
        ):
            connection.execute(text(f"UPDATE {table} SET {column} = {column} - {LONG} WHERE {where}"))
    return store, lambda: files(s3, bucket), made | {"model": model, "inside": inside, "experiment": str(experiment)}


def files(s3: Any, bucket: str) -> set[str]:
    """Return the folder of each object, or its key if it is not an artifact."""
    found = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {one["Key"].removeprefix("kept/").removesuffix("/artifacts/file") for one in found}


def last(folder: Path) -> Any:
    return json.loads((folder / "last.json").read_text())


def test_a_look_changes_nothing(stores: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, there, made = stores
    before = there()
    garbage.main(["look", "30"])
    said = capsys.readouterr().out
    for name, kind in {"old": "run", "model": "model", "inside": "run", "experiment": "experiment"}.items():
        assert f"Would collect {kind} {made[name]}" in said
    assert f"Keep run {made['registered']}: a registered model uses its files" in said
    assert "Would collect 2 runs, 1 models, 1 experiments and 0 unreferenced folders: 3 objects" in said
    assert (there(), (tmp_path / "last.json").exists()) == (before, False)


def test_what_was_deleted_long_ago_goes_and_all_else_stays(stores: Any, tmp_path: Path) -> None:
    store, there, made = stores
    garbage.main(["collect", "30"])
    stay = {f"0/{made[name]}" for name in ("live", "fresh", "registered")}
    assert there() == stay | {ORPHAN.strip("/"), "notes/of somebody"}
    told = last(tmp_path)
    assert (told["error"], told["runs"], told["models"], told["experiments"]) == ("", 2, 1, 1)
    assert (told["objects"], told["bytes"], told["kept"]) == (3, 15, 1)
    assert "trackbox_garbage_bytes 15\n" in (tmp_path / "trackbox_garbage.prom").read_text()
    with store.engine.connect() as connection:
        left = {row[0] for row in connection.execute(text("SELECT run_uuid FROM runs"))}
    assert left == {made[name] for name in ("live", "fresh", "registered")}


def test_files_without_a_row_go_after_the_waiting_time(stores: Any, tmp_path: Path) -> None:
    _, there, _ = stores
    garbage.main(["collect", "30"])
    seen = json.loads((tmp_path / "unreferenced.json").read_text())
    assert list(seen) == [ORPHAN]
    (tmp_path / "unreferenced.json").write_text(json.dumps({ORPHAN: seen[ORPHAN] - LONG / 1000}))
    garbage.main(["collect", "30"])
    assert ORPHAN.strip("/") not in there()
    assert last(tmp_path)["folders"] == 1


def refused(action: str = "collect", days: str = "30") -> str:
    with pytest.raises(SystemExit) as ended:
        garbage.main([action, days])
    return str(ended.value)


def test_nothing_goes_while_another_holds_the_lock_or_with_0_days(stores: Any, tmp_path: Path) -> None:
    _, there, _ = stores
    before = there()
    with (tmp_path / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert refused().startswith("Nothing was collected: a backup")
    assert "that was deleted is kept" in refused(days="0")
    assert there() == before
    assert "trackbox_garbage_failed 1\n" in (tmp_path / "trackbox_garbage.prom").read_text()


@pytest.mark.parametrize("change", [{"time": -LONG / 1000}, {"time": -LONG / 500 - 1, "boot": "another"}])
def test_after_a_jump_of_the_clock_one_collection_waits(stores: Any, tmp_path: Path, change: dict[str, Any]) -> None:
    garbage.main(["collect", "30"])
    clock = json.loads((tmp_path / "clock.json").read_text())
    clock |= change | {"time": clock["time"] + change["time"]}
    (tmp_path / "clock.json").write_text(json.dumps(clock))
    assert refused().startswith("Nothing was collected: since the last time the clock was put forward by")
    garbage.main(["collect", "30"])


def test_what_cannot_be_deleted_is_said_and_stops_nothing(
    stores: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, made = stores
    original: Callable[..., None] = SqlAlchemyStore._hard_delete_run

    def fail(self: Any, run: str) -> None:
        if run == made["old"]:
            raise OSError("a row hangs on it\nand more")
        original(self, run)

    monkeypatch.setattr(SqlAlchemyStore, "_hard_delete_run", fail)
    assert refused() == f"run {made['old']}: OSError a row hangs on it"
    assert last(tmp_path)["models"] == 1


def test_without_mlflows_methods_rows_stay_and_monitoring_is_told(
    stores: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, there, _ = stores
    before = there()
    monkeypatch.delattr(SqlAlchemyStore, "_hard_delete_experiment")
    assert refused() == "deleted rows: deleted runs, models and experiments stay in the database with their files"
    assert there() == before
    assert len([line for line in caplog.messages if "tested with" in line]) <= 1


def test_an_object_that_stays_is_an_error(stores: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    collector = Collector(True, 30, tmp_path)
    answer = {"Errors": [{"Key": "k", "Message": "denied"}]}
    monkeypatch.setattr(collector.files.s3, "delete_objects", lambda **_: answer)
    with pytest.raises(OSError, match="k stays: denied"):
        collector.remove_files("0/")


def test_a_row_that_was_restored_meanwhile_stays(stores: Any, tmp_path: Path) -> None:
    store, there, made = stores
    collector = Collector(True, 30, tmp_path)
    store.restore_run(made["old"])
    before = there()

    collector.collect_row(
        "run", made["old"], f"mlflow-artifacts:/0/{made['old']}/artifacts", RUNS, store._hard_delete_run
    )
    assert there() == before


def test_a_fault_ends_in_a_sentence(stores: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "nonsense://")
    assert refused().startswith("It broke off: ")
    assert last(tmp_path)["error"].startswith("It broke off: ")
