"""MLflow's server runs with forked workers on inherited sockets, even if a library lacks what a patch needs."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgi import empty_database, object_of, settings
from live import Server, serving
from trackbox_mlflow import patches

__all__ = ["empty_database", "settings"]

SERVER = (
    "PREFORK",
    "DRAIN",
    "UNUSED_MIDDLEWARE",
    "BULK_METRICS",
    "METRIC_PAGE",
    "SIGNED_STORE",
    "MIME_TYPE",
    "REQUEST_CHECKS",
)
ENTRIES = {name: entry for name, entry in patches.entries() if name in SERVER}


def use(server: Server) -> tuple[list[float], int]:
    """Log metrics, search runs by metric, and request the presigned URL of an artifact, as NGINX does.

    Return the metric values of the found runs, and the status of the last request.
    """
    runs = []
    for value in (1.0, 3.0, 2.0):
        run = server.api("runs/create", {"experiment_id": "0", "start_time": 1})["run"]["info"]
        metrics = [{"key": "m", "value": value, "timestamp": 1, "step": step} for step in range(3)]
        assert server.api("runs/log-batch", {"run_id": run["run_id"], "metrics": metrics}) == {}
        runs.append(run)
    found = server.api("runs/search", {"experiment_ids": ["0"], "order_by": ["metrics.m DESC"], "max_results": 2})
    history = server.api(f"metrics/get-history?run_id={runs[0]['run_id']}&metric_key=m&max_results=9")["metrics"]
    assert [metric["step"] for metric in history] == [0, 1, 2]
    signed, headers, _ = server.ask("/-/artifact/7/a.txt", x_trackbox_method="GET")
    if signed == 204:
        assert object_of(headers["x-trackbox-address"]).endswith("/7/a.txt")
    return [run["data"]["metrics"][0]["value"] for run in found["runs"]], signed


@pytest.fixture(scope="module")
def server(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(settings, tmp_path_factory.mktemp("server")) as running:
        yield running


def test_mlflow_serves_and_the_log_has_nothing_of_a_missing_name(server: Server) -> None:
    assert use(server) == ([3.0, 2.0], 204)
    assert "tested with" not in server.log.read_text()


def test_a_worker_that_dies_is_replaced(server: Server) -> None:
    before = server.log.read_text().count("Application startup complete")
    status = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    os.kill(int(status.split()[0]), signal.SIGKILL)
    end = time.monotonic() + 10
    while server.log.read_text().count("Application startup complete") == before:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert "ended with -9" in server.log.read_text()
    assert server.ask("/health")[0] == 200


def test_large_requests_have_a_socket_and_a_worker_of_lower_priority(server: Server) -> None:
    client = socket.socket(socket.AF_UNIX)
    client.connect(server.own[1])
    client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert client.recv(100).startswith(b"HTTP/1.1 200")
    client.close()
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    here = os.getpriority(os.PRIO_PROCESS, 0)
    assert sorted(os.getpriority(os.PRIO_PROCESS, int(child)) for child in children) == [here, min(19, here + 10)]


@pytest.mark.parametrize("name", ENTRIES)
def test_without_a_name_mlflow_serves_as_it_is_and_the_log_says_so_once(
    settings: dict[str, str], tmp_path: Path, name: str
) -> None:
    entry = ENTRIES[name]
    with serving(settings, tmp_path, removable(entry)) as server:
        assert use(server) == ([3.0, 2.0], 403 if name == "REQUEST_CHECKS" else 204)
        said = [line for line in server.log.read_text().splitlines() if "tested with" in line]
        assert len(said) == 1, server.log.read_text()
        assert said[0].startswith(f"{entry.needs[0]}: ")
        assert said[0].endswith(f"so {entry.without}.")


def removable(entry: patches.Patch) -> str:
    """Return an attribute that the patch needs, and without which MLflow and SQLAlchemy still work."""
    others = {
        "DRAIN": "uvicorn.protocols.http.httptools_impl:RequestResponseCycle",
        "METRIC_PAGE": "sqlalchemy.sql.selectable:GenerativeSelect._limit",
        "BULK_METRICS": "mlflow.store.tracking.dbmodels.models:SqlMetric.__table__",
    }
    [name] = [name for name, one in ENTRIES.items() if one is entry]
    return others.get(name, entry.needs[0])


def test_a_stop_answers_requests_on_kept_connections_and_closes_them(settings: dict[str, str], tmp_path: Path) -> None:
    with serving(settings, tmp_path) as server:
        port = server.common.getsockname()[1]
        idle, used = (http.client.HTTPConnection("127.0.0.1", port, timeout=20) for _ in range(2))
        for connection in (idle, used):
            connection.request("GET", "/health")
            assert connection.getresponse().read() == b"OK"
        server.process.terminate()
        time.sleep(0.2)
        used.request("GET", "/health")
        answer = used.getresponse()
        assert (answer.status, answer.read(), answer.headers["Connection"]) == (200, b"OK", "close")
        assert idle.sock.recv(1) == b""
        server.process.join(20)
        assert server.process.exitcode == 0


def test_a_worker_without_its_database_is_started_again(
    settings: dict[str, str], tmp_path: Path, monkeypatch: Any
) -> None:
    from trackbox_mlflow import supervisor

    monkeypatch.setattr(supervisor, "RESTART_DELAY", 0)
    read, write = os.pipe()
    process = os.fork()
    if not process:

        def fail(number: int) -> None:
            os.write(write, b"x")
            raise OSError("no database")

        try:
            supervisor.supervise(1, fail)
        finally:
            os._exit(0)
    assert len(b"".join(os.read(read, 1) for _ in range(3))) == 3
    os.kill(process, signal.SIGTERM)
    assert os.waitpid(process, 0)[1] == 0
