"""Parts of the scoring server, without a server: settings, decompression, queue and files of the request log."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from prometheus_client import REGISTRY
from trackbox_serving import settings
from trackbox_serving.bodies.json_rows import Reader
from trackbox_serving.bodies.reading import read_body
from trackbox_serving.log import batches
from trackbox_serving.log.labels import PAUSE, Labels, LabelWriter
from trackbox_serving.log.rows import Entry, Rows
from trackbox_serving.log.writer import Writer, prepare
from trackbox_serving.models.scorer import Column
from trackbox_serving.names import FOLLOWER
from trackbox_serving.settings import ModelSetting, Settings, SettingsError
from trackbox_serving.version import About, Version
from trackbox_serving.web.answers import RefusedError
from trackbox_serving.web.feedback import read_labels

COLUMNS = [Column("a", "double"), Column("score", "long"), Column("town", "string")]
ID = "0123456789abcdef0123456789abcdef"


def test_settings_have_defaults_and_are_found_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "serving.json"
    monkeypatch.setenv(settings.VARIABLE, str(path))
    path.write_text("{}")
    assert settings.load() == Settings()
    path.write_text(json.dumps({"models": [{"name": "a b"}], "run": "/r", "max_rows": 5, "log": "scores"}))
    assert settings.load() == Settings((ModelSetting("a b"),), run=Path("/r"), max_rows=5, log="scores")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([], "is no JSON object"),
        ({"max_row": 5}, "'max_row' is no field"),
        ({"max_rows": "5"}, "must be of the type int"),
        ({"max_rows": True}, "must be of the type int"),
        ({"processes": 0}, "must be 1 or more"),
        ({"log": "some"}, "must be one of all, scores, off"),
        ({"models": [{}]}, "a model has no name"),
        ({"models": ["fraud"]}, "is no JSON object"),
    ],
)
def test_bad_settings_are_named(tmp_path: Path, given: Any, why: str) -> None:
    (tmp_path / "serving.json").write_text(json.dumps(given))
    with pytest.raises(SettingsError, match=why):
        settings.load(tmp_path / "serving.json")


def test_a_version_of_any_name_has_its_own_folder(tmp_path: Path) -> None:
    place = Version(Settings(state=tmp_path), "../fraud é", "3")
    assert place.folder.parent.parent == tmp_path / "models"
    place.folder.mkdir(parents=True)
    place.write_about(About("../fraud é", "3", threshold=0.5))
    assert place.read_about() == About("../fraud é", "3", threshold=0.5)


def test_a_bomb_takes_no_more_memory_than_the_limit() -> None:
    bomb = gzip.compress(bytes(100 << 20))
    parts = [bomb[i : i + 65536] for i in range(0, len(bomb), 65536)]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    tracemalloc.start()
    try:
        with pytest.raises(RefusedError, match="larger than 1 MiB") as refused:
            asyncio.run(read_body([(b"content-encoding", b"gzip")], receive, 1 << 20))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert refused.value.status == 413


def test_a_body_that_ends_early_is_no_body() -> None:
    given: list[dict[str, Any]] = [
        {"type": "http.request", "body": b'{"inputs"', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return given.pop(0)

    with pytest.raises(RefusedError, match="ended early"):
        asyncio.run(read_body([], receive, 100))


@pytest.mark.parametrize("odd", ["1.5", "", True, [1.0], {}, 1e39])
def test_the_fast_way_takes_numbers_alone(odd: Any) -> None:
    reader = Reader([Column("a", "double"), Column("b", "double")])
    for value, taken in ((1, True), (None, True), (odd, False)):
        for document in (
            {"dataframe_split": {"columns": ["b", "a"], "data": [[0.5, value]]}},
            {"dataframe_records": [{"a": value, "b": 0.5}]},
            {"instances": [{"a": value, "b": 0.5}]},
            {"inputs": {"a": [value], "b": [0.5]}},
        ):
            assert (reader.read(json.dumps(document).encode()) is not None) == taken, document


def entry(count: int, at: float, features: Any = None) -> Entry:
    """Return the log entry of a request with `count` rows. at: seconds since 1970."""
    rows = np.arange(count * 3.0).reshape(count, 3) if features is None else features
    return Entry("r", int(at * 1e9), "ann", 1.5, rows, np.linspace(0, 1, count), count)


def dropped(reason: str) -> float:
    """Return the metric of the rows that were dropped from the log for this reason."""
    found = REGISTRY.get_sample_value("trackbox_serving_dropped_log_rows_total", {"reason": reason})
    return found or 0.0


def test_rows_that_find_no_room_are_counted_and_delay_nobody(tmp_path: Path) -> None:
    taken = Writer(tmp_path, Rows(COLUMNS, "7", 0.5), most=10)
    before = dropped("queue")
    now = time.time()
    # The writer thread has not started, so nothing leaves the queue.
    for count in (30, 5, 1):
        taken.add(entry(count, now))
    assert dropped("queue") - before == 6
    taken.start()
    taken.stop()
    [path] = tmp_path.iterdir()
    assert pq.read_metadata(path).num_rows == 30


def test_rows_that_the_disk_does_not_take_are_counted(tmp_path: Path) -> None:
    before = dropped("disk")
    taken = Writer(tmp_path / "nowhere", Rows(COLUMNS, "7", 0.5), most=10)
    taken.start()
    taken.add(entry(4, time.time()))
    taken.stop()
    assert dropped("disk") - before == 4


def test_files_are_closed_in_time_by_rows_and_by_the_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CLOSE_SECONDS", 0.3)
    monkeypatch.setattr(batches, "CLOSE_ROWS", 20)
    taken = Writer(tmp_path, Rows(COLUMNS, "7", 0.5), most=1000)
    hour = 1_795_982_400.0  # the beginning of an hour, in seconds since 1970
    taken.start()
    for count, at in ((5, hour - 1), (5, hour + 1), (20, hour + 2), (2, hour + 3)):
        taken.add(entry(count, at))
    time.sleep(1.5)
    found = {path.name.split("-")[0]: 0 for path in tmp_path.iterdir()}
    for path in tmp_path.iterdir():
        found[path.name.split("-")[0]] += pq.read_metadata(path).num_rows
    taken.stop()
    assert sorted(found.values()) == [5, 27]
    assert len(list(tmp_path.iterdir())) == 3
    assert not list(tmp_path.glob(".open-*"))


def test_logged_features_have_their_types_and_names_of_their_own(tmp_path: Path) -> None:
    rows = Rows(COLUMNS, "7", 0.5)
    table = pd.DataFrame({"a": [1.0, np.nan], "score": [3, 4], "town": ["Rome", None]})
    strange = Entry("s", 0, "", 1.0, "what MLflow made of it", None, 2)
    found = rows.table([entry(2, 1.0, table), strange]).to_pylist()
    assert found[0]["a"] == 1.0
    assert np.isnan(found[1]["a"])
    assert [one["feature.score"] for one in found[:2]] == [3.0, 4.0]
    assert [one["town"] for one in found] == ["Rome", None, None, None]
    assert [one["score"] for one in found] == [0.0, 1.0, None, None]
    assert [one["decision"] for one in found] == [0, 1, None, None]
    odd = Entry("o", 0, "", 1.0, {"a": ["x", "y"], "score": [1], "town": ["Rome", 5]}, None, 2)
    assert rows.table([odd]).column("town").to_pylist() == ["Rome", "5"]
    assert np.isnan(rows.table([odd]).column("a").to_numpy()).all()
    assert Rows([], "7", None).table([entry(2, 1.0)]).column("decision").null_count == 2


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ([], ([], [], [])),
        ([{"request_id": ID, "label": 1}], ([ID], [0], [1.0])),
        ([{"request_id": ID, "row": 3, "label": False}], ([ID], [3], [0.0])),
        ([{"request_id": ID, "labels": [0, 1.5]}, {"request_id": ID, "label": 1}], ([ID] * 3, [0, 1, 0], [0, 1.5, 1])),
        ({"request_id": ID, "label": 1}, "must be a JSON list"),
        ([1], "Item 1 must be an object"),
        ([{"request_id": ID, "label": 1, "secret": 1}], "Item 1 must be an object"),
        ([{"request_id": ID, "label": 1}, {"label": 1}], "Item 2: request_id must be"),
        ([{"request_id": "order 5", "label": 1}], "Item 1: request_id must be"),
        ([{"request_id": f"{ID}\n", "label": 1}], "Item 1: request_id must be"),
        ([{"request_id": ID}], "must have a label"),
        ([{"request_id": ID, "label": 1, "labels": [1]}], "must have a label"),
        ([{"request_id": ID, "row": 1, "labels": [1]}], "must have a label"),
        ([{"request_id": ID, "row": -1, "label": 1}], "row must be a number from 0 to 4"),
        ([{"request_id": ID, "row": True, "label": 1}], "row must be"),
        ([{"request_id": ID, "row": 5, "label": 1}], "row must be"),
        ([{"request_id": ID, "labels": 1}], "labels must be a list"),
        ([{"request_id": ID, "label": None}], "a label must be a number"),
        ([{"request_id": ID, "label": "secret"}], "a label must be a number"),
        ([{"request_id": ID, "labels": [0] * 6}], "more than 5 labels"),
        ([{"request_id": ID, "label": 0}] * 6, "more than 5 labels"),
    ],
)
def test_labels_are_read_or_refused_with_a_sentence(body: Any, wanted: Any) -> None:
    text = json.dumps(body).encode()
    if not isinstance(wanted, str):
        assert read_labels(text, 5) == wanted
        return
    with pytest.raises(RefusedError, match=wanted) as refused:
        read_labels(text, 5)
    assert refused.value.status == (413 if "more than" in wanted else 400)
    assert "secret" not in refused.value.message
    assert "order" not in refused.value.message


def labelled(count: int, told: list[bool]) -> Labels:
    """Make a request's labels. The writer appends to `told` whether they were written to the disk."""
    return Labels([ID] * count, list(range(count)), [1.0] * count, time.time_ns(), "ann", told.append)


def test_labels_are_on_the_disk_at_once_and_then_share_files(tmp_path: Path) -> None:
    told: list[bool] = []
    taken = LabelWriter(tmp_path, most=100)
    taken.start()
    assert taken.offer(labelled(1, told))
    begin = time.monotonic()
    while not told:
        assert time.monotonic() - begin < PAUSE / 2
        time.sleep(0.01)
    for _ in range(20):
        assert taken.offer(labelled(2, told))
        time.sleep(0.01)
    begin = time.monotonic()
    while len(told) < 21:
        assert time.monotonic() - begin < 2 * PAUSE
        time.sleep(0.01)
    taken.stop()
    assert told == [True] * 21
    paths = sorted(tmp_path.iterdir())
    assert [pq.read_metadata(path).num_rows for path in paths] == [1, 40]
    assert all(path.name.startswith("labels-20") for path in paths)
    assert pq.read_table(paths[0]).drop(["time"]).to_pylist() == [
        {"request_id": ID, "row": 0, "label": 1.0, "user": "ann"}
    ]


def test_a_sender_is_told_of_a_full_queue_and_of_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    told: list[bool] = []
    lost = dropped("disk")
    taken = LabelWriter(tmp_path / "nowhere", most=10)
    assert taken.offer(labelled(30, told))
    assert not taken.offer(labelled(1, told))
    taken.start()
    taken.stop()
    assert told == [False]
    # The metric counts only rows that are lost without an error for the client, so it does not count these labels.
    assert dropped("disk") == lost


def test_the_follower_gets_the_last_rows_as_json(tmp_path: Path) -> None:
    taken = Writer(tmp_path, Rows(COLUMNS[:2], "7", 0.5), most=1000, sampled=5)
    table = pd.DataFrame({"a": [1.0, np.nan, 3.0], "score": [3, 4, 5]})
    taken.start()
    for one in (entry(4, 1.0), entry(3, 1.0, table), replace(entry(2, 1.0, table[:2]), user=FOLLOWER)):
        taken.add(one)
    taken.stop()
    [path] = tmp_path.glob("*.parquet.sample.json")
    found = json.loads(path.read_text())
    # The sample has 5 rows. The first request is left out, because its 4 rows do not fit beside the 3 of the second.
    assert found["data"] == [[1.0, 3.0], [None, 4.0], [3.0, 5.0]]
    assert (found["version"], found["columns"], found["row"]) == ("7", ["a", "score"], [0, 1, 2])
    assert (found["time"], found["score"], found["decision"]) == ([1_000_000] * 3, [0.0, 0.5, 1.0], [0, 1, 1])
    rows = Rows(COLUMNS[:2], "7", 0.5)
    large = rows.sample([entry(4, 1.0), entry(9, 1.0)], 5)
    assert large
    assert (large["row"], len(large["data"]), len(large["score"])) == ([0, 1, 2, 3, 4], 5, 5)
    # There is no sample if the model has no named columns, or if the size of the sample is 0.
    assert Rows([], "7", 0.5).sample([entry(1, 1.0)], 5) is None
    assert rows.sample([entry(1, 1.0)], 0) is None


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    prepare(tmp_path / "log")
    (tmp_path / "log" / ".open-5-x.parquet").touch()
    (tmp_path / "log" / "x.parquet").touch()
    prepare(tmp_path / "log")
    assert [path.name for path in (tmp_path / "log").iterdir()] == ["x.parquet"]
