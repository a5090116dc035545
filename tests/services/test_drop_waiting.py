"""drop_waiting.py closes connections that wait for a server that is down, and keeps them open if the server is up."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trackbox_mlflow
from trackbox_mlflow.drop_waiting import drop_waiting

FOLDER = Path(trackbox_mlflow.__file__).parents[1]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def closed(client: socket.socket, seconds: float) -> bool:
    """Return whether the server closes the connection within the given seconds."""
    client.settimeout(seconds)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False


def test_a_connection_is_closed_only_while_the_file_is_missing(listener: socket.socket, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.touch()
    with socket.create_connection(listener.getsockname()) as client:
        drop_waiting([listener], ready)
        assert not closed(client, 0.1)
        ready.unlink()
        drop_waiting([listener], ready)
        assert closed(client, 2)
    drop_waiting([listener], ready)


def test_the_program_waits_for_its_patience_first(listener: socket.socket, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.touch()
    os.set_inheritable(listener.fileno(), True)
    command = f"exec 3<&{listener.fileno()}; exec {sys.executable} -m trackbox_mlflow.drop_waiting {ready} 1"
    environment = os.environ | {"LISTEN_FDS": "1"}
    with subprocess.Popen(
        ["bash", "-c", command], cwd=FOLDER, env=environment, pass_fds=[listener.fileno()]
    ) as process:
        try:
            with socket.create_connection(listener.getsockname()) as client:
                assert not closed(client, 1.5)
                ready.unlink()
                began = time.monotonic()
                assert closed(client, 10)
                assert time.monotonic() - began > 0.4
        finally:
            process.terminate()
