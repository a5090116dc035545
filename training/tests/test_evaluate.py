"""`fraud evaluate`: the log in a real MinIO, the run in a real MLflow."""

import io
import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

import boto3
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from fraud.cli.main import run
from fraud.data.inference import read_log
from fraud.evaluate import changed_decisions
from fraud.evaluation.metrics import wilson
from fraud.evaluation.served import differences
from fraud.settings import Settings

#: A moment that is the 1st of November in UTC and the 2nd in Berlin.
EVENING = datetime(2026, 11, 1, 23, 30, tzinfo=timezone.utc)
Write = Callable[..., None]


@pytest.fixture
def write(settings: Settings, bare: pytest.MonkeyPatch) -> Write:
    """A function that stores a table of the log in the test's bucket, as serving does."""
    bare.setenv("FRAUD_LOG_BUCKET", settings.bucket)
    client = boto3.session.Session().client("s3", endpoint_url=settings.s3_endpoint)

    def write(below: str, day: str, columns: dict[str, Any] | bytes) -> None:
        buffer = io.BytesIO()
        if isinstance(columns, bytes):
            buffer.write(columns)
        else:
            pd.DataFrame(columns).to_parquet(buffer)
        key = f"my%20model/{below}date={day}/version-1-{time.monotonic_ns()}.parquet"
        client.put_object(Bucket=settings.bucket, Key=key, Body=buffer.getvalue())

    return write


def logged(
    count: int, flagged: int, version: str = "1", at: datetime = EVENING, **other: Any
) -> dict[str, Any]:
    """`count` log rows without features, one per request. The first `flagged` are flagged."""
    decision = (np.arange(count) < flagged).astype("int8")
    return {
        "request_id": [f"{version}-{number}" for number in range(count)], "row": 0, "time": at,
        "user": "ann", "version": version, "latency_ms": 1.0, "score": decision * 0.9,
        "decision": decision,
    } | other  # fmt: skip


def labels(given: dict[str, float], at: datetime = EVENING) -> dict[str, Any]:
    """A table of labels. given: maps request ids to labels."""
    return {
        "request_id": list(given),
        "row": 0,
        "label": list(given.values()),
        "time": at,
        "user": "ann",
    }


def evaluate(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Run the command, and return its decoded JSON output."""
    capsys.readouterr()
    assert run(["evaluate", "--model", "my model", "--json", *arguments]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_precision_and_recall_of_each_version_by_day_are_a_run(
    write: Write, client: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    write("", "2026-11-01", logged(100, 10))
    write("", "2026-11-01", logged(20, 20, user="trackbox-follower") | {"request_id": "own"})
    write("", "2026-11-03", logged(50, 5, "2", EVENING + timedelta(days=2)))
    # An object that is not a Parquet file must be skipped.
    write("", "2026-11-03", b"no Parquet")
    first = {f"1-{number}": float(number < 8 or number == 50) for number in range(60)}
    write("labels/", "2026-11-20", labels(first | {"1-9": 1.0, "gone": 1.0}))
    # If a row has two labels, the later one counts, whatever the order of the objects.
    write("labels/", "2026-11-25", labels({"1-9": 0.0}, EVENING + timedelta(days=1)))
    write("labels/", "2026-11-20", labels({"2-0": 1.0, "2-1": 1.0}))
    found = evaluate(capsys)
    one, two = found["versions"]
    assert (one["version"], one["rows"], one["labelled"], one["challenger"]) == (
        "1",
        100,
        60,
        False,
    )
    assert (one["flagged"], one["frauds"], one["caught"]) == (10, 9, 8)
    assert [one["precision"][key] for key in ("value", "low", "high")] == pytest.approx(
        wilson(8, 10)
    )
    assert [one["recall"][key] for key in ("value", "low", "high")] == pytest.approx(wilson(8, 9))
    assert (two["rows"], two["labelled"], two["caught"], two["recall"]["value"]) == (50, 2, 2, 1)
    assert any("1 labels are of rows" in note for note in found["notes"])
    assert any("1 objects of the log" in note for note in found["notes"])
    assert any("All 2 labels of version 2 are 1" in note for note in found["notes"])
    tracked = client.get_run(found["run"])
    assert (tracked.data.tags["role"], tracked.info.status) == ("evaluation", "FINISHED")
    assert tracked.data.metrics["precision.version_1"] == 0.8
    [daily] = client.get_metric_history(found["run"], "daily_precision.version_1")
    assert (daily.value, daily.step) == (0.8, (date(2026, 11, 1) - date(1970, 1, 1)).days)
    files = {item.path: item.file_size for item in client.list_artifacts(found["run"])}
    assert set(files) == {
        "precision.png",
        "recall.png",
        "rows_by_day.png",
        "days.csv",
        "report.html",
    }
    assert all(5_000 < files[name] < 100_000 for name in files if name.endswith(".png"))
    assert files["report.html"] < 400_000


def test_days_are_those_of_the_time_zone(
    write: Write, capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    write("", "2026-11-01", logged(10, 2))
    write("labels/", "2026-11-20", labels({"1-0": 1.0}))
    only = ("--since", "2026-11-02", "--until", "2026-11-02")
    assert evaluate(capsys, *only, "--time-zone", "Europe/Berlin")["versions"][0]["rows"] == 10
    assert run(["evaluate", "--model", "my model", *only]) == 3
    assert "no logged rows of my model from 2026-11-02 to 2026-11-02" in capsys.readouterr().err
    assert run(["evaluate", "--time-zone", "Berlin"]) == 2


def test_what_is_missing_is_said(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*arguments: str) -> str:
        capsys.readouterr()
        assert run(["evaluate", "--model", "my model", *arguments]) == 3
        return capsys.readouterr().err

    assert "has no logged rows of my model." in said()
    write("", "2026-11-01", logged(10, 2))
    assert "None of the 10 logged rows of my model has a label yet" in said()
    # With this option, the missing label of a row that is older than one day counts as 0.
    found = evaluate(capsys, "--assume-ordinary-after", "1")
    assert (found["versions"][0]["labelled"], found["versions"][0]["precision"]["value"]) == (10, 0)
    assert "has a label yet" in said("--assume-ordinary-after", "36500")
    write("labels/", "2026-11-20", labels({"1-0": 0.5}))
    assert "other values than 0 and 1" in said()
    write("labels/", "2026-11-21", labels({"1-0": 1.0}, EVENING + timedelta(days=1)))
    assert evaluate(capsys)["versions"][0]["labelled"] == 1


def test_a_log_without_decisions_is_said(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("", "2026-11-01", logged(10, 2) | {"decision": pd.array([None] * 10, dtype="Int8")})
    write("labels/", "2026-11-20", labels({"1-0": 1.0}))
    assert run(["evaluate", "--model", "my model"]) == 3
    assert "has a decision: there is no threshold" in capsys.readouterr().err


def test_a_challenger_is_compared_with_the_live_version(
    write: Write, client: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = logged(100, 10)
    write("", "2026-11-01", rows)
    shadow = {key: rows[key] for key in ("request_id", "row", "time")}
    shadow |= {"live_version": "1", "live_score": rows["score"], "live_decision": rows["decision"]}
    flagged = (np.arange(100) < 13).astype("int8")
    shadow |= {"version": "3", "score": rows["score"] + 0.1 * flagged, "decision": flagged}
    # Write the object twice, because the follower sends a file again after a crash.
    for _ in range(2):
        write("shadow/", "2026-11-01", shadow)
    found = evaluate(capsys)
    [difference] = found["differences"]
    assert [
        difference[key] for key in ("version", "against", "rows", "changed", "newly_flagged")
    ] == ["3", "1", 100, 3, 3]
    assert (difference["mean"], difference["largest"]) == (pytest.approx(0.013), pytest.approx(0.1))
    assert [one["challenger"] for one in found["versions"]] == [False, True]
    files = {item.path for item in client.list_artifacts(found["run"])}
    assert {"score_differences.png", "changed_decisions.csv", "report.html"} <= files
    assert "precision.png" not in files
    assert client.get_run(found["run"]).data.metrics["changed_decisions.version_3_from_1"] == 3
    # If logged rows have labels, precision and recall of the challenger are measured, too.
    write("labels/", "2026-11-20", labels({"1-11": 1.0, "1-12": 0.0}))
    live, challenger = evaluate(capsys)["versions"]
    assert (live["precision"], live["recall"]["value"]) == (None, 0)
    assert (challenger["precision"]["value"], challenger["recall"]["value"]) == (0.5, 1)
    # Once the challenger has become live, only its responses to clients are measured.
    write("", "2026-11-02", logged(5, 0, "3", EVENING + timedelta(days=1)))
    found = evaluate(capsys)
    assert [(one["rows"], one["challenger"]) for one in found["versions"]] == [
        (100, False),
        (5, False),
    ]
    assert found["differences"][0]["rows"] == 100


def test_the_file_of_changed_decisions_has_the_rows_that_are_counted() -> None:
    shadow = pd.DataFrame({
        "version": "2", "live_version": "1", "day": date(2026, 11, 30),
        "score": [0.9, 0.2, 0.8], "live_score": [0.1, 0.7, 0.3],
        "decision": [1.0, 0.0, np.nan], "live_decision": [0.0, np.nan, 0.0],
    })  # fmt: skip
    [counted] = differences(shadow)
    listed = pd.read_csv(io.BytesIO(changed_decisions(shadow)))
    assert counted.changed == len(listed) == 1
    assert listed["score"].tolist() == [0.9]


def test_a_hundred_thousand_rows_take_seconds(write: Write, settings: Settings) -> None:
    for number in range(10):
        part = logged(10_000, 100, at=EVENING + timedelta(days=number))
        part["request_id"] = [f"{number}-{one}" for one in part["request_id"]]
        write("", f"2026-11-{number + 1:02}", part)
        write("labels/", "2026-11-20", labels(dict.fromkeys(part["request_id"], 0.0)))
    begin = time.monotonic()
    log = read_log(replace(settings, log_bucket=settings.bucket), "my model")
    assert time.monotonic() - begin < 20
    assert (len(log.rows), int(log.rows["label"].notna().sum()), log.unknown) == (
        100_000,
        100_000,
        0,
    )
