"""Fixtures: models of `fraud`, the scoring server on a Unix socket as under systemd, and MLflow's scoring server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow.models import Model
from trackbox_serving.follower.unix import Connection

PACKAGE = Path(__file__).resolve().parents[2] / "roles/serving/files"
JSON = "application/json"
VERSION = "7"
THRESHOLD = 0.3
#: This program starts the worker as systemd does: the socket is file descriptor 3, and LISTEN_PID is set. Arguments:
#: file descriptor of the socket, NAME, VERSION.
LIKE_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-m", "trackbox_serving.worker", *sys.argv[2:]])
"""
MODELS = ("xgboost", "extra-trees", "histogram-boosting", "logistic")


@pytest.fixture(scope="session")
def data() -> pd.DataFrame:
    """Synthetic transactions."""
    from fraud.data.synthetic import generate

    return generate(3000, 150, seed=3)


@pytest.fixture(scope="session")
def state(data: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of the server, with a model for each recipe of MODELS and an isolation forest."""
    from fraud.data.schema import FEATURES, LABEL
    from fraud.models.flavours import save
    from fraud.models.recipes import PROFILES
    from threadpoolctl import threadpool_limits

    folder = tmp_path_factory.mktemp("state")
    for recipe in PROFILES["default"]:
        if recipe.name in (*MODELS, "isolation-forest"):
            # Use one thread: OpenMP's threads spin while they wait, so on busy cores several take 20 s instead of 1 s.
            with threadpool_limits(1):
                estimator = recipe.build(0, 1).fit(data[FEATURES], data[LABEL])
            place = folder / "models" / recipe.name / VERSION
            place.mkdir(parents=True)
            save(estimator, place / "model", Model(metadata={"threshold": THRESHOLD}), data.iloc[:5])
            describe(place, recipe.name)
    return folder


def describe(place: Path, name: str, **further: Any) -> None:
    """Write about.json, like the follower."""
    about = {"name": name, "version": VERSION, "run_id": "r1", "alias": "champion", "threshold": THRESHOLD}
    (place / "about.json").write_text(json.dumps(about | further))


@dataclass
class Reply:
    """The response of a server."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        """The decoded JSON body."""
        return json.loads(self.body)


@dataclass
class Server:
    """A running server. process: gunicorn's main process. ready: its notification to systemd."""

    process: subprocess.Popen[bytes]
    listening: socket.socket
    log: Path
    state: Path
    name: str
    ready: bytes = b""

    @property
    def path(self) -> Path:
        """The path of the socket."""
        return Path(self.listening.getsockname())

    def ask(self, path: str, body: bytes | None = None, kind: str = JSON, **headers: str) -> Reply:
        """Send one request on a new connection."""
        connection = Connection(self.path, 30)
        try:
            return send(connection, path, body, kind, **headers)
        finally:
            connection.close()

    def score(self, document: Any, path: str = "/invocations", **headers: str) -> Reply:
        """Send a document as JSON."""
        return self.ask(path, json.dumps(document).encode(), **headers)

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return sorted(map(int, children.split()))

    @property
    def logged(self) -> list[Path]:
        """The closed files of the request log. Files that a worker is still writing are not included."""
        return sorted((self.state / "log" / self.name / VERSION).glob("[!.]*.parquet"))

    def stop(self) -> int:
        """Stop the server with SIGTERM, like systemd; return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def send(connection: Connection, path: str, body: bytes | None, kind: str = JSON, **headers: str) -> Reply:
    """Send a request on an open connection."""
    given = {"Content-Type": kind} if body is not None and kind else {}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET" if body is None else "POST", path, body, given)
    response = connection.getresponse()
    found = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, response.read(), found)


def listen(path: Path) -> socket.socket:
    """Create a listening Unix socket, like systemd."""
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.listen(4096)
    return made


@contextmanager
def serving(
    state: Path, name: str, folder: Path, listening: socket.socket | None = None, **settings: Any
) -> Iterator[Server]:
    """Run the server of a model on a socket that this process keeps open. listening: an existing socket to use."""
    folder.mkdir(exist_ok=True)
    notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening = listening or listen(folder / "scoring.sock")
    notified.bind(str(folder / "notify.sock"))
    notified.settimeout(60)
    path = folder / "serving.json"
    given = {"models": [{"name": name}], "state": str(state), "run": str(folder), "processes": 1, "log": "off"}
    path.write_text(json.dumps(given | settings))
    log = folder / "log.txt"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", LIKE_SYSTEMD, str(listening.fileno()), name, VERSION],
            env=os.environ
            | {
                "PYTHONPATH": str(PACKAGE),
                "TRACKBOX_SERVING_SETTINGS": str(path),
                "LISTEN_FDS": "1",
                "NOTIFY_SOCKET": str(folder / "notify.sock"),
            },
            pass_fds=[listening.fileno()],
            stdout=out,
            stderr=out,
            cwd=folder,
        )
    server = Server(process, listening, log, state, name)
    try:
        try:
            server.ready = notified.recv(1000)
        except TimeoutError:
            raise AssertionError(log.read_text()) from None
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
        notified.close()


def ask_application(application: Any, path: str, body: bytes | None = None, kind: str = JSON, query: str = "") -> Reply:
    """Send a request to an ASGI application without a socket. If the application raises, return status 500."""
    messages = [{"type": "http.request", "body": body or b"", "more_body": False}]
    reply = Reply(0, b"")

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.sleep(3600)
        return messages.pop(0)

    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            reply.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        reply.body += message.get("body", b"")

    headers = [(b"host", b"localhost"), (b"content-length", str(len(body or b"")).encode())]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET" if body is None else "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [*headers, (b"content-type", kind.encode())] if kind else headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    try:
        asyncio.run(application(scope, receive, sent))
    except Exception:
        return Reply(500, b"")
    return reply


class Reference:
    """MLflow's own scoring server, without a socket."""

    def __init__(self, folder: Path) -> None:
        import mlflow.pyfunc
        from mlflow.pyfunc import scoring_server

        self.application: Any = scoring_server.init(mlflow.pyfunc.load_model(str(folder)))

    def ask(self, body: bytes, kind: str) -> Reply:
        """Send a request to /invocations."""
        return ask_application(self.application, "/invocations", body, kind)


def application(state: Path, name: str, **settings: Any) -> Any:
    """Return the application of a model, without a server and without a log."""
    from trackbox_serving.models.scorer import load
    from trackbox_serving.settings import Settings
    from trackbox_serving.version import Version
    from trackbox_serving.web.application import create
    from trackbox_serving.web.service import Service

    place = Version(Settings(state=state, log="off", **settings), name, VERSION)
    about = place.read_about()
    service = Service(place.settings, about, load(place.model, about.allow_code))
    service.warm_up()
    return create(service)


def wait_until(condition: Any, seconds: float = 20) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
