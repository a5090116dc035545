"""A challenger scores logged rows in the background, with real versions, a real registry and a real object store."""

from __future__ import annotations

import io
import json
import shutil
import time
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

pytest.importorskip("skops")
from buckets import client_of
from minio import Minio
from registered import Registry
from servers import KEYS, s3_endpoint
from serving_units import Units
from test_follower import answering, following, registry, settings, status, tracking_uri, units, until
from trackbox_serving.follower import shadow
from trackbox_serving.follower.model import ModelFollower
from trackbox_serving.follower.settings import Settings
from trackbox_serving.names import Unit
from trackbox_serving.start_units import in_background

__all__ = ["registry", "s3_endpoint", "settings", "tracking_uri", "units"]

BUCKET = "shadow"


@pytest.fixture
def stored(s3_endpoint: str) -> Minio:
    return client_of(s3_endpoint, BUCKET)


@pytest.fixture
def shadowing(settings: Settings, s3_endpoint: str, stored: Minio, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a follower with a challenger. The follower stores the challenger's scores after one second."""
    monkeypatch.setattr(shadow, "CLOSE_SECONDS", 1.0)
    monkeypatch.setattr("trackbox_serving.follower.__main__.ROUND", 0.2)
    keys = {"s3_user": KEYS["MINIO_ROOT_USER"], "s3_secret": KEYS["MINIO_ROOT_PASSWORD"]}
    return replace(settings, challenger="challenger", s3_endpoint=s3_endpoint, bucket=BUCKET, **keys)


def log(follower: ModelFollower, version: str, rows: int, **other: Any) -> None:
    """Write a sample of logged rows, as a worker does. `a` rises from 0 to 3, and the decision is 1 from a = 1.5 on."""
    values = [3 * number / rows for number in range(rows)]
    given = {
        "version": version, "columns": ["a", "b"], "data": [[value, 0.0] for value in values],
        "request_id": [f"{number:032x}" for number in range(rows)], "row": [0] * rows,
        "time": [1_795_982_400_000_000] * rows, "score": [0.4 if value < 1.5 else 0.6 for value in values],
        "decision": [int(value >= 1.5) for value in values],
    }  # fmt: skip
    folder = follower.version(version).log
    part = folder / ".open-sample"
    part.write_text(json.dumps(given | other))
    part.rename(folder / f"2026112920-1-{time.time_ns()}.parquet.sample.json")


def table(stored: Minio, follower: ModelFollower) -> pd.DataFrame:
    """Return the scores of the model's challengers that are stored in the bucket."""
    prefix = f"{follower.links.folder.name}/shadow/date="
    parts = []
    for each in stored.list_objects(bucket_name=BUCKET, prefix=prefix, recursive=True):
        content = stored.get_object(bucket_name=BUCKET, object_name=each.object_name).read()
        parts.append(pd.read_parquet(io.BytesIO(content)))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def test_a_challenger_scores_logged_rows_and_answers_no_client_until_it_is_promoted(
    shadowing: Settings, registry: Registry, units: Units, stored: Minio
) -> None:
    first, second = registry.add(), registry.add(threshold=0.8)
    registry.point(first)
    state = shadowing.shared.state
    with following(shadowing) as follower:
        until(lambda: answering(follower) == first)
        registry.point(second, "challenger")
        until(lambda: "has scored 0 logged rows" in status(shadowing, registry)["challenger"])
        about = follower.version(second).read_about()
        assert (about.challenger, about.threshold) == (True, 0.8)
        assert [in_background(state, Unit(registry.name, each)) for each in (first, second)] == [False, True]
        log(follower, first, 1200)
        # The challenger's threshold is 0.8 instead of 0.5, so the decision changes for scores from 0.5 to below 0.8.
        # The score is 0.8 at a = 1.5 + ln 4.
        wanted = sum(1.5 <= 3 * number / 1200 < 1.5 + 1.3862943611 for number in range(1200))
        said = f"Version {second}, the challenger, has scored 1,200 logged rows: {wanted} decisions change."
        until(lambda: status(shadowing, registry)["challenger"] == said)
        until(lambda: len(table(stored, follower)) == 1200)
        found = table(stored, follower)
        assert list(found.columns) == list(shadow.COLUMNS)
        assert (found["version"].unique(), found["live_version"].unique()) == ([second], [first])
        assert int((found["decision"] != found["live_decision"]).sum()) == wanted
        assert found["request_id"].nunique() == 1200
        assert str(found["time"].dtype).endswith("UTC]")
        # Clients cannot reach the challenger, because no symlink points to its socket.
        assert answering(follower) == first
        links = {path.name for path in (follower.links.folder / "by-number").iterdir()}
        assert links == {f"{first}.sock"}
        registry.point(second)
        until(lambda: answering(follower) == second)
        assert not follower.version(second).read_about().challenger
        assert not in_background(state, Unit(registry.name, second))
        until(
            lambda: status(shadowing, registry)["challenger"] == f"Version {second}, the challenger, is served itself."
        )
        registry.client.delete_registered_model_alias(registry.name, "challenger")
        until(lambda: status(shadowing, registry)["challenger"] == "")


def test_a_challenger_without_logged_rows_is_not_started(shadowing: Settings, registry: Registry) -> None:
    version = registry.add()
    registry.point(version, "challenger")
    for other in (replace(shadowing.shared, log="scores"), replace(shadowing.shared, replay_rows=0)):
        with following(replace(shadowing, shared=other)) as follower:
            follower.note(challenger="")
            until(lambda one=follower: "needs serving_log: all" in one.mine.challenger)  # type: ignore[misc]
            assert follower.shadow.versions == set()
    shutil.rmtree(shadowing.shared.run)


def test_a_challenger_that_fails_is_refused_and_what_is_live_stays(
    shadowing: Settings, registry: Registry, units: Units, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow, "FAILURES", 2)
    first, second = registry.add(), registry.add()
    registry.point(first)
    with following(shadowing) as follower:
        until(lambda: answering(follower) == first)
        registry.point(second, "challenger")
        until(lambda: "has scored 0 logged rows" in status(shadowing, registry)["challenger"])
        # A hostile worker may write values of wrong types. The follower must keep running.
        log(follower, first, 10, request_id=[[]] * 10, time=["now"] * 10)
        until(lambda: "has scored 10 logged rows" in status(shadowing, registry)["challenger"])
        for _ in range(2):
            log(follower, first, 10, columns=["a", "c"])
        until(lambda: "was refused: The version fails on rows" in status(shadowing, registry)["challenger"])
        assert registry.client.get_model_version(registry.name, second).tags["serving.challenger"].startswith("refused")
        until(lambda: len(units.processes) == 1)
        assert (answering(follower), follower.mine.problem) == (first, "")
        # The follower must not try the refused version again.
        time.sleep(1)
        assert follower.shadow.versions == set()
