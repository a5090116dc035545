"""The follower uploads each closed log file once to a real object store, and no other file that a worker creates."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("minio")
import pyarrow as pa
import pyarrow.parquet as pq
from buckets import client_of
from minio import Minio
from servers import KEYS, free_port, s3_endpoint
from trackbox_serving.follower import replay
from trackbox_serving.follower.delivery import Delivery
from trackbox_serving.follower.settings import Settings
from trackbox_serving.follower.status import Status
from trackbox_serving.settings import ModelSetting
from trackbox_serving.settings import Settings as Shared

__all__ = ["s3_endpoint"]

BUCKET = "inference"


@pytest.fixture
def store(s3_endpoint: str) -> Minio:
    client = client_of(s3_endpoint, BUCKET)
    for each in client.list_objects(bucket_name=BUCKET, recursive=True):
        client.remove_object(bucket_name=BUCKET, object_name=each.object_name)
    return client


@pytest.fixture
def settings(s3_endpoint: str, tmp_path: Path) -> Settings:
    (tmp_path / "log/fraud/7").mkdir(parents=True)
    shared = Shared(models=(ModelSetting("fraud"),), state=tmp_path, run=tmp_path)
    key = {"s3_user": KEYS["MINIO_ROOT_USER"], "s3_secret": KEYS["MINIO_ROOT_PASSWORD"]}
    return Settings(shared, s3_endpoint=s3_endpoint, bucket=BUCKET, **key)


def write(settings: Settings, name: str, user: str = "vera", rows: int = 10) -> Path:
    """Write a closed log file, like a worker."""
    columns = {"request_id": ["x"] * rows, "user": [user] * rows, "score": [0.5] * rows}
    table = pa.table({**columns, "a": [float(number) for number in range(rows)], "b": [0.0] * rows})
    path = settings.shared.state / "log/fraud/7" / name
    pq.write_table(table, path)
    return path


def keys(store: Minio) -> list[str]:
    """Return the keys of all objects in the bucket."""
    return sorted(each.object_name for each in store.list_objects(bucket_name=BUCKET, recursive=True))


def delivery(settings: Settings) -> Delivery:
    return Delivery(settings, Status.read(settings.shared.state / "status.json"))


def test_a_closed_log_is_delivered_once_and_then_deleted(settings: Settings, store: Minio) -> None:
    path = write(settings, "2026112920-11-1.parquet")
    (path.parent / ".open-11-later.parquet").write_bytes(b"half")
    done = delivery(settings)
    done.round()
    done.round()
    assert keys(store) == ["fraud/date=2026-11-29/version-7-2026112920-11-1.parquet"]
    assert [each.name for each in path.parent.iterdir()] == [".open-11-later.parquet"]
    assert (done.status.log.delivered, done.status.log.waiting_files) == (1, 0)
    found = settings.shared.state / "fetched.parquet"
    store.fget_object(bucket_name=BUCKET, object_name=keys(store)[0], file_path=str(found))
    assert pq.read_table(found)["a"].to_pylist() == [float(number) for number in range(10)]


def test_a_log_that_was_sent_and_not_deleted_is_one_object(settings: Settings, store: Minio) -> None:
    path = write(settings, "2026112920-11-1.parquet")
    content = path.read_bytes()
    delivery(settings).round()
    path.write_bytes(content)
    delivery(settings).round()
    assert len(keys(store)) == 1
    assert not path.exists()


def test_labels_are_delivered_beside_the_log(settings: Settings, store: Minio) -> None:
    labels = write(settings, "labels-2026113007-11-2.parquet")
    delivery(replace(settings, s3_endpoint=f"http://127.0.0.1:{free_port()}")).round()
    assert (keys(store), labels.exists()) == ([], True)
    write(settings, "2026112920-11-1.parquet")
    delivery(settings).round()
    assert keys(store) == [
        "fraud/date=2026-11-29/version-7-2026112920-11-1.parquet",
        "fraud/labels/date=2026-11-30/version-7-2026113007-11-2.parquet",
    ]


def test_logs_wait_while_the_store_is_away_and_the_oldest_go_beyond_the_bound(settings: Settings, store: Minio) -> None:
    away = replace(settings, s3_endpoint=f"http://127.0.0.1:{free_port()}", log_disk_mb=1)
    waiting = delivery(away)
    paths = []
    for number in range(3):
        paths.append(write(away, f"2026112920-11-{number}.parquet"))
        paths[-1].write_bytes(os.urandom(400_000))
        os.utime(paths[-1], (number, number))
    waiting.round()
    log = waiting.status.log
    assert [path.exists() for path in paths] == [False, True, True]
    assert (log.dropped, log.delivered, log.waiting_files) == (1, 0, 2)
    assert "does not take the logs" in log.problem
    back = delivery(settings)
    back.round()
    assert len(keys(store)) == 2
    # The counts must survive a restart of the follower.
    assert (back.status.log.dropped, back.status.log.delivered, back.status.log.problem) == (1, 2, "")


def test_labels_are_the_last_that_go_beyond_the_bound(settings: Settings) -> None:
    away = replace(settings, s3_endpoint=f"http://127.0.0.1:{free_port()}", log_disk_mb=1)
    names = ("labels-2026112920-11-0.parquet", "2026112920-11-1.parquet", "2026112920-11-2.parquet")
    paths = [write(away, name) for name in names]
    for number, path in enumerate(paths):
        path.write_bytes(os.urandom(600_000))
        os.utime(path, (number, number))
    delivery(away).round()
    assert [path.exists() for path in paths] == [True, False, False]


def test_a_link_a_pipe_and_a_second_name_are_not_delivered(settings: Settings, store: Minio) -> None:
    folder = settings.shared.state / "log/fraud/7"
    (settings.shared.state / "secret").write_text("secret")
    (folder / "2026112920-1-1.parquet").symlink_to("../../../secret")
    os.mkfifo(folder / "2026112920-1-2.parquet")
    os.link(settings.shared.state / "secret", folder / "2026112920-1-3.parquet")
    done = delivery(settings)
    done.round()
    assert keys(store) == []
    assert list(folder.iterdir()) == []
    assert done.status.log.dropped == 3
    assert (settings.shared.state / "secret").read_text() == "secret"


def test_a_file_that_is_no_parquet_is_delivered(settings: Settings, store: Minio) -> None:
    (settings.shared.state / "log/fraud/7/2026112920-1-1.parquet").write_bytes(b"no Parquet")
    delivery(settings).round()
    assert len(keys(store)) == 1


def sample(settings: Settings, name: str, rows: int = 10, **other: Any) -> Path:
    """Write the JSON file with a sample of logged rows, as a worker does."""
    facts = {"request_id": ["x"] * rows, "row": [0] * rows, "time": [1] * rows, "score": [0.5] * rows}
    data = [[float(number), 0.0] for number in range(rows)]
    given = {"version": "7", "columns": ["a", "b"], "data": data, "decision": [0] * rows, **facts, **other}
    path = settings.shared.state / "log/fraud/7" / f"{name}.parquet.sample.json"
    path.write_text(json.dumps(given))
    return path


def test_the_last_rows_are_kept_for_replays_once_also_while_the_store_is_away(settings: Settings) -> None:
    away = replace(
        settings, s3_endpoint=f"http://127.0.0.1:{free_port()}", shared=replace(settings.shared, replay_rows=15)
    )
    write(away, "2026112920-1-1.parquet")
    paths = [sample(away, "2026112920-1-1"), sample(away, "2026112920-1-2")]
    done = delivery(away)
    for _ in range(3):
        done.round()
    assert not any(path.exists() for path in paths)
    found = replay.rows(away.shared, "fraud", {"a": "long", "b": "boolean"})
    assert found["columns"] == ["a", "b"]
    assert [row[0] for row in found["data"]] == [5, 6, 7, 8, 9, *range(10)]
    assert {type(row[0]) for row in found["data"]} == {int}
    assert {type(row[1]) for row in found["data"]} == {bool}
    # Rows with other columns replace all rows that were kept.
    sample(away, "2026112920-1-3", 2, columns=["c", "b"])
    done.round()
    assert replay.rows(away.shared, "fraud", {}) == {"columns": ["c", "b"], "data": [[0.0, 0.0], [1.0, 0.0]]}


def test_what_a_worker_plants_instead_of_rows_is_ignored_and_removed(settings: Settings, store: Minio) -> None:
    folder = settings.shared.state / "log/fraud/7"
    planted: list[dict[str, Any]] = [{"columns": "ab"}, {"columns": [1, 2]}, {"data": [[1.0]] * 10}, {"data": {}}]
    planted += [{"score": [1.0]}, {"time": None}]
    for number, other in enumerate(planted):
        sample(settings, str(number), **other)
    for number, text in enumerate((b"{", b"[]", b"[" * 100_000, b"1" * 5000, b"\xff")):
        (folder / f"x{number}.sample.json").write_bytes(text)
    (settings.shared.state / "secret.json").write_text("{}")
    (folder / "link.sample.json").symlink_to("../../../secret.json")
    os.mkfifo(folder / "pipe.sample.json")
    for name in ("folder.sample.json", "folder.parquet"):
        (folder / name).mkdir()
    good = write(settings, "2026112920-11-1.parquet")
    done = delivery(settings)
    done.round()
    assert replay.rows(settings.shared, "fraud", {}) == {}
    # A folder that is named like a log file does not stop the delivery of the other files.
    assert not good.exists()
    assert sorted(path.name for path in folder.iterdir()) == ["folder.parquet", "folder.sample.json"]
    assert done.status.log.problem == ""
