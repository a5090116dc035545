"""HTTP requests to a worker's Unix socket."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trackbox_serving.names import FOLLOWER

# The maximum size of a response in bytes. There is a limit because a worker runs an untrusted model.
MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Answer:
    """A worker's response. The names of its `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def version(self) -> str:
        """The version that answered."""
        return self.headers.get("x-model-version", "")


class Connection(http.client.HTTPConnection):
    """An HTTP connection to a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path
        self.line: socket.socket | None = None

    def connect(self) -> None:
        """Connect to the socket. Raise OSError if its path is longer than 107 bytes."""
        # Keep the socket in `line`, too, because HTTPConnection drops `sock` as soon as it has the response headers.
        self.sock = self.line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))

    def cut(self) -> None:
        """Shut down the connection from another thread, so that a thread that waits for a response stops waiting."""
        with contextlib.suppress(OSError):
            if self.line:
                self.line.shutdown(socket.SHUT_RDWR)


def ask(path: Path, url: str, body: Any = None, timeout: float = 30) -> Answer:
    """Send a GET request, or a POST request with `body` as JSON.

    Raise OSError or HTTPException if the whole response does not arrive within `timeout` seconds. The socket's own
    timeout is not enough, because it restarts with each byte that the worker sends.
    """
    connection, over = Connection(path, timeout), threading.Event()

    def end() -> None:
        over.set()
        connection.cut()

    clock = threading.Timer(timeout, end)
    clock.daemon = True
    clock.start()
    try:
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Connection": "close", "X-Forwarded-User": FOLLOWER}
        connection.request("GET" if data is None else "POST", url, data, headers)
        response = connection.getresponse()
        text = response.read(MOST_BYTES)
        if over.is_set():
            raise TimeoutError(f"no whole answer came within {timeout:g} s")
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, text)
    except (ValueError, OverflowError) as error:
        raise http.client.HTTPException(f"the answer is not HTTP: {error}") from error
    finally:
        clock.cancel()
        connection.close()
