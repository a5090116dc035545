"""`/feedback` of a real scoring server accepts labels, which clients send weeks after the scores."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from scoring import VERSION, Server, application, ask_application, data, serving, state, wait_until

__all__ = ["data", "state"]

ID = "00000000000000000000000000000001"
ONE = [{"request_id": ID, "label": 1}]


@pytest.fixture
def server(state: Path, tmp_path: Path) -> Iterator[Server]:
    """A server of the logistic model with two worker processes and a request log."""
    with serving(state, "logistic", tmp_path, processes=2, log="scores", max_rows=1000) as running:
        yield running
    for path in running.logged:
        path.unlink()


def kept(server: Server) -> pd.DataFrame:
    """All labels that the server has written to disk, in the order of the file names."""
    paths = sorted((server.state / "log" / server.name / VERSION).glob("labels-*.parquet"))
    return pd.concat([pq.read_table(path).to_pandas() for path in paths], ignore_index=True)


def test_a_label_that_was_answered_survives_a_kill_and_joins_its_row(server: Server, data: pd.DataFrame) -> None:
    frame = data.drop(columns=["Time", "Class"]).head(3)
    scored = server.score({"dataframe_split": frame.to_dict(orient="split")})
    identifier = scored.headers["x-request-id"]
    sent = [{"request_id": identifier, "labels": [0, 1, 0]}, {"request_id": identifier, "row": 2, "label": 1}]
    begin = time.monotonic()
    answer = server.score(sent, "/feedback", X_Forwarded_User="ann")
    assert time.monotonic() - begin < 1
    assert (answer.status, answer.json) == (202, {"labels": 4})
    # Kill the workers and their parent directly after the response. The labels must be on the disk by then.
    for process in [*server.workers(), server.process.pid]:
        os.kill(process, signal.SIGKILL)
    found = kept(server)
    assert list(found["request_id"].unique()) == [identifier]
    assert found["user"].unique().tolist() == ["ann"]
    last = found.drop_duplicates(["request_id", "row"], keep="last").set_index("row")["label"]
    assert last.sort_index().to_list() == [0.0, 1.0, 1.0]
    assert abs(found["time"].iloc[0].timestamp() - time.time()) < 60


def test_what_is_no_label_is_refused_whole_and_without_the_senders_data(server: Server) -> None:
    cases: list[tuple[bytes, str, int]] = [
        (json.dumps([*ONE, {"request_id": "secret", "label": 1}]).encode(), "application/json", 400),
        (b"[{", "application/json", 400),
        (b"", "application/json", 400),
        (b"request_id,label", "text/csv", 415),
        (json.dumps([{"request_id": ID, "labels": [1] * 1001}]).encode(), "application/json", 413),
    ]
    for body, kind, status in cases:
        answer = server.ask("/feedback", body, kind)
        assert answer.status == status, answer
        assert answer.json["message"].endswith(".")
        assert b"secret" not in answer.body
    assert server.ask("/feedback").status == 405
    assert server.score([], "/feedback").json == {"labels": 0}
    assert not server.logged


def test_without_a_log_a_sentence_says_why(state: Path) -> None:
    answer = ask_application(application(state, "logistic"), "/feedback", json.dumps(ONE).encode())
    assert answer.status == 409
    assert "serving_log is off" in answer.json["message"]


def test_a_disk_that_takes_no_label_is_said(state: Path, tmp_path: Path, data: pd.DataFrame) -> None:
    row: dict[str, Any] = {"dataframe_split": data.drop(columns=["Time", "Class"]).head(1).to_dict(orient="split")}
    with serving(state, "logistic", tmp_path, log="all") as server:
        folder = state / "log/logistic" / VERSION
        folder.rmdir()
        answer = server.score(ONE, "/feedback")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "The disk does not take" in answer.json["message"]
        assert server.score(row).status == 200
        folder.mkdir()
        assert server.score(ONE, "/feedback").status == 202
        wait_until(lambda: bool(server.logged))
        server.stop()
        for path in server.logged:
            path.unlink()
