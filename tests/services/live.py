"""Start MLflow's server with server.py, with forked workers, real sockets and its own database.

A forkserver imports MLflow once, so each server starts in one second instead of five.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OPTIONS = ["--host", "127.0.0.1", "--workers", "1", "--serve-artifacts"]
FIRST_FD = 60
CYCLE = "RequestResponseCycle"


def remove(name: str) -> None:
    """Remove `module:attribute`, to simulate a version of the library without this attribute."""
    from trackbox_mlflow.patches import resolve

    module, _, attribute = name.partition(":")
    if attribute == CYCLE:
        original: Any = resolve(name)
        # uvicorn needs this class, so it cannot be removed. Replace it by a class whose __init__ does not contain the
        # names that the patch DRAIN looks for.

        class Cycle(original):  # type: ignore[misc]
            def __init__(self, **given: Any) -> None:
                super().__init__(**given)

        setattr(sys.modules[module], CYCLE, Cycle)
        return
    owner, _, last = attribute.rpartition(".")
    delattr(resolve(f"{module}:{owner}") if owner else sys.modules[module], last)


def run_server(removed: Sequence[str], environment: dict[str, str], sockets: list[socket.socket], log: str) -> None:
    """Run the server in the current process. `serving` starts this function in a new process."""
    with Path(log).open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update(environment, LISTEN_FDS=str(len(sockets)))
    for number, one in enumerate(sockets):
        os.dup2(one.fileno(), FIRST_FD + number)
        one.close()
    from trackbox_mlflow import server

    for name in removed:
        remove(name)
    server.FIRST_FD = FIRST_FD
    sys.argv = ["server", *OPTIONS]
    server.main()


@dataclass
class Server:
    """A running server. common: the TCP socket of all workers. own: paths of the workers' sockets. log: its output."""

    process: Any
    common: socket.socket
    own: list[str]
    log: Path

    def ask(self, path: str, body: Any = None, method: str = "", **headers: str) -> tuple[int, dict[str, Any], bytes]:
        """Send a request to the common socket; return status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.common.getsockname()[1], timeout=20)
        text = None if body is None else json.dumps(body)
        headers = {
            "Content-Type": "application/json",
            "Host": "localhost",
            **{name.replace("_", "-"): v for name, v in headers.items()},
        }
        connection.request(method or ("GET" if body is None else "POST"), path, text, headers)
        response = connection.getresponse()
        found = response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        connection.close()
        return found

    def api(self, path: str, body: Any = None) -> Any:
        """Call MLflow's REST API; return the decoded response."""
        status, _, text = self.ask(f"/api/2.0/mlflow/{path}", body)
        assert status == 200, text
        return json.loads(text)


@contextmanager
def serving(settings: dict[str, str], folder: Path, *removed: str) -> Iterator[Server]:
    """Run the server without the attributes `removed`, until the `with` block ends."""
    database = folder / "mlflow.db"
    shutil.copy(settings["EMPTY_DATABASE"], database)
    environment = {
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{database}",
        "TRACKBOX_READY": str(folder / "ready"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_AI_GATEWAY": "false",
    }
    common = socket.create_server(("127.0.0.1", 0))
    paths = [str(folder / f"{name}.sock") for name in ("0", "large")]
    own = []
    for path in paths:
        own.append(socket.socket(socket.AF_UNIX))
        own[-1].bind(path)
        own[-1].listen()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow.server.fastapi_app", "mlflow.cli", "uvicorn", "trackbox_mlflow.server"])
    log = folder / "log"
    process = context.Process(target=run_server, args=(removed, environment, [common, *own], str(log)))
    process.start()
    try:
        end = time.monotonic() + 60
        while not (folder / "ready").exists():
            assert process.is_alive(), log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield Server(process, common, paths, log)
    finally:
        process.terminate()
        process.join(20)
        if process.is_alive():
            process.kill()
        for one in (common, *own):
            one.close()
