"""The scoring server under load, after killed processes and during a restart; its log, limits and metrics."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from scoring import (
    JSON,
    THRESHOLD,
    VERSION,
    Reply,
    Server,
    application,
    ask_application,
    data,
    send,
    serving,
    state,
    wait_until,
)
from trackbox_serving.follower.prove import EXAMPLE_SCORES, example
from trackbox_serving.follower.unix import Connection

__all__ = ["data", "state"]


@pytest.fixture
def row(data: pd.DataFrame) -> dict[str, Any]:
    """A JSON document with one row."""
    frame = data.drop(columns=["Time", "Class"]).head(1)
    return {"dataframe_split": {"columns": list(frame.columns), "data": frame.to_numpy().tolist()}}


@pytest.fixture
def server(state: Path, tmp_path: Path) -> Iterator[Server]:
    """A server of the XGBoost model with two processes and a request log."""
    with serving(state, "xgboost", tmp_path, processes=2, log="all") as running:
        yield running
    for path in running.logged:
        path.unlink()


class Load(threading.Thread):
    """Sends requests until `ended` is set. It opens a new connection only if the server closes the old one."""

    def __init__(self, server: Server, document: Any, name: str) -> None:
        super().__init__()
        self.server, self.body, self.title = server, json.dumps(document).encode(), name
        self.replies: list[tuple[str, Reply]] = []
        self.broken: list[str] = []
        self.ended = threading.Event()

    def run(self) -> None:
        """Send requests."""
        connection = Connection(self.server.path, 30)
        while not self.ended.is_set():
            name = f"{self.title}-{len(self.replies) + len(self.broken)}"
            try:
                reply = send(connection, "/invocations", self.body, X_Request_Id=name, X_Forwarded_User="ann")
                self.replies.append((name, reply))
                closed = reply.headers.get("connection") == "close"
            except (OSError, ValueError) as error:
                self.broken.append(f"{name}: {error!r}")
                closed = True
            if closed:
                connection.close()
                connection = Connection(self.server.path, 30)
        connection.close()


def logged(server: Server) -> pd.DataFrame:
    """Return all rows of the request log."""
    return pd.concat([pq.read_table(path).to_pandas() for path in server.logged], ignore_index=True)


def metric(server: Server, name: str) -> float:
    """Return the sum of a metric over its labels."""
    lines = server.ask("/metrics").body.decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


def test_a_restart_under_load_loses_no_request_and_logs_each_row_once(
    state: Path, tmp_path: Path, row: dict[str, Any]
) -> None:
    with serving(state, "xgboost", tmp_path / "first", processes=2, log="all") as server:
        loads = [Load(server, row, f"r{number}") for number in range(6)]
        for load in loads:
            load.start()
        time.sleep(1.5)
        before = [len(load.replies) for load in loads]
        assert server.stop() == 0
        first = len(logged(server))
        with serving(state, "xgboost", tmp_path / "second", server.listening, processes=2, log="all") as second:
            wait_until(lambda: all(len(load.replies) > count + 20 for load, count in zip(loads, before, strict=True)))
            for load in loads:
                load.ended.set()
            for load in loads:
                load.join()
            assert second.stop() == 0
        assert [load.broken for load in loads] == [[]] * 6
        answered = [one for load in loads for one in load.replies]
        assert {reply.status for _, reply in answered} == {200}
        found = logged(server)
        assert 0 < first < len(found)
        assert sorted(found["request_id"]) == sorted(name for name, _ in answered)
        assert not list((state / "log/xgboost" / VERSION).glob(".open-*"))
        for path in server.logged:
            path.unlink()


def test_the_log_has_what_was_asked_and_answered(server: Server, row: dict[str, Any]) -> None:
    reply = server.score(row, X_Request_Id="abc", X_Forwarded_User="ann")
    other = {"dataframe_records": [dict(zip(row["dataframe_split"]["columns"], map(str, range(29)), strict=True))] * 2}
    slow = server.score(other, X_Request_Id="slow")
    before = time.time()
    server.stop()
    found = logged(server).set_index("request_id")
    first = found.loc["abc"]
    assert first["user"] == "ann"
    assert first["version"] == VERSION
    assert abs(first["time"].timestamp() - before) < 60
    assert 0 < first["latency_ms"] < 10_000
    assert list(found.columns)[5:34] == row["dataframe_split"]["columns"]
    assert list(first.iloc[5:34]) == row["dataframe_split"]["data"][0]
    assert [first["score"]] == reply.json["predictions"]
    assert first["decision"] == int(first["score"] >= THRESHOLD)
    # MLflow's functions convert text to numbers, and the log must contain these numbers.
    assert list(found.loc["slow", "V3"]) == [2.0, 2.0]
    assert list(found.loc["slow", "row"]) == [0, 1]
    assert list(found.loc["slow", "score"]) == slow.json["predictions"]


def test_a_killed_process_loses_no_later_request_and_no_count_and_only_its_open_rows(
    server: Server, row: dict[str, Any]
) -> None:
    for _ in range(20):
        assert server.score(row).status == 200
    counted = metric(server, "trackbox_serving_requests_total")
    assert counted >= 20
    victim = server.workers()[0]
    os.kill(victim, signal.SIGKILL)
    # Do not wait for a new worker, because the other worker and the socket's queue must accept the requests.
    for _ in range(20):
        assert server.score(row).status == 200
    wait_until(lambda: len(server.workers()) == 2 and victim not in server.workers())
    after = metric(server, "trackbox_serving_requests_total")
    assert counted + 20 <= after <= counted + 22
    assert metric(server, "trackbox_serving_rows_total") == 40
    server.stop()
    rows = len(logged(server)) if server.logged else 0
    # The killed process loses only the rows of its open log file.
    assert 20 <= rows <= 40
    assert str(victim) not in {path.name.split("-")[1] for path in server.logged}


def test_rows_in_closed_files_survive_a_kill(state: Path, tmp_path: Path, row: dict[str, Any]) -> None:
    many = {"dataframe_split": row["dataframe_split"] | {"data": row["dataframe_split"]["data"] * 10_000}}
    with serving(state, "xgboost", tmp_path, log="all") as server:
        assert server.score(many, X_Request_Id="closed").status == 200
        wait_until(lambda: len(server.logged) == 1)
        assert server.score(row, X_Request_Id="open").status == 200
        os.kill(server.workers()[0], signal.SIGKILL)
        wait_until(lambda: server.score(row).status == 200)
        server.stop()
        found = logged(server)["request_id"].value_counts()
        assert found["closed"] == 10_000
        # The rows of the open file are lost, as the docstring of trackbox_serving.log says.
        assert "open" not in found
        for path in server.logged:
            path.unlink()


def test_more_requests_than_may_wait_are_refused_at_once(state: Path, tmp_path: Path, row: dict[str, Any]) -> None:
    large = {"dataframe_split": row["dataframe_split"] | {"data": row["dataframe_split"]["data"] * 3000}}
    with serving(state, "extra-trees", tmp_path, max_waiting=2) as server:
        loads = [Load(server, large, str(number)) for number in range(6)]
        for load in loads:
            load.start()
        time.sleep(2)
        begin = time.monotonic()
        assert server.ask("/ping").status == 200
        assert time.monotonic() - begin < 1
        for load in loads:
            load.ended.set()
        for load in loads:
            load.join()
        replies = [reply for load in loads for _, reply in load.replies]
        assert [load.broken for load in loads] == [[]] * 6
        assert {reply.status for reply in replies} == {200, 503}
        refused = next(reply for reply in replies if reply.status == 503)
        assert refused.headers["retry-after"] == "1"
        assert refused.json["error_code"] == "TEMPORARILY_UNAVAILABLE"
        assert metric(server, "trackbox_serving_refused_total") == sum(reply.status == 503 for reply in replies)
        assert metric(server, "trackbox_serving_in_progress") == 1


def test_bodies_over_a_limit_are_refused_in_each_format(state: Path, row: dict[str, Any]) -> None:
    ours = application(state, "xgboost", max_rows=5, max_body_mb=1)
    columns, [values] = row["dataframe_split"]["columns"], row["dataframe_split"]["data"]
    for count, status in ((5, 200), (6, 413)):
        frame = pd.DataFrame([values] * count, columns=columns)
        text = [list(map(str, values))] * count
        for body, kind in (
            (json.dumps({"dataframe_split": {"columns": columns, "data": [values] * count}}).encode(), JSON),
            (json.dumps({"dataframe_split": {"columns": columns, "data": text}}).encode(), JSON),
            (frame.to_csv(index=False).encode(), "text/csv"),
            (frame.to_parquet(), "application/vnd.apache.parquet"),
        ):
            reply = ask_application(ours, "/invocations", body, kind)
            assert reply.status == status, (kind, reply)
            assert status == 200 or reply.json["message"].startswith("The body has more than 5 rows")
    assert ask_application(ours, "/invocations", b" " * (1 << 20) + b"{}").status == 413


def test_processes_share_the_model_and_tell_systemd(server: Server, row: dict[str, Any]) -> None:
    assert server.ready.startswith(b"READY=1")
    for _ in range(50):
        assert server.score(row).status == 200
    for process in server.workers():
        fields = Path(f"/proc/{process}/smaps_rollup").read_text().split("\n")
        values = {line.split(":")[0]: int(line.split()[1]) for line in fields[1:] if line}
        assert values["Pss"] < values["Rss"] / 2


def test_an_answer_names_the_version_and_the_request(server: Server, row: dict[str, Any]) -> None:
    reply = server.score(row, X_Request_Id="abc-1")
    assert reply.headers["x-model-version"] == VERSION
    assert reply.headers["x-request-id"] == "abc-1"
    made = server.score(row, X_Request_Id="x" * 200).headers["x-request-id"]
    assert len(made) == 32


def test_head_and_body_of_an_answer_are_one_write(server: Server, row: dict[str, Any]) -> None:
    # With two writes, a process that is killed between them would have sent half a response.
    body = json.dumps(row).encode()
    request = b"POST /invocations HTTP/1.0\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (
        JSON.encode(),
        len(body),
    )
    for _ in range(100):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(str(server.path))
            connection.sendall(request + body)
            head, _, rest = connection.recv(1 << 20).partition(b"\r\n\r\n")
        assert f"content-length: {len(rest)}".encode() in head
        assert json.loads(rest)["predictions"]


def test_each_model_of_fraud_scores_its_example_as_when_it_was_saved(state: Path, tmp_path: Path) -> None:
    # Leave out the isolation forest, because it contains code and is not served by default.
    models = sorted({path.name for path in (state / "models").iterdir()} - {"isolation-forest"})
    assert len(models) > 2
    for name in models:
        model = state / "models" / name / VERSION / "model"
        assert (model / EXAMPLE_SCORES).exists()
        with serving(state, name, tmp_path / name) as running:
            example(running.path, VERSION, model, 30)
