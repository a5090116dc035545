"""Clients that score without a pause, and compare each response with the expected scores of its version."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from endpoint import Endpoint

# Errors of a client that uses a connection which the server has closed. The last two are TLS errors.
CLOSED = (
    http.client.RemoteDisconnected,
    ConnectionResetError,
    BrokenPipeError,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)


@dataclass(frozen=True)
class Answered:
    """A response. began, ended: values of time.monotonic. request: the value of X-Request-Id."""

    began: float
    ended: float
    status: int
    version: str
    request: str

    @property
    def ms(self) -> float:
        """The duration in milliseconds."""
        return (self.ended - self.began) * 1000


@dataclass
class Clients:
    """Threads that score from the beginning of a `with` block to its end.

    By default half of the threads open a connection for each request, and send the request once. The others keep their
    connection. If the server has closed it, they send the request again on a new connection, as browsers do.

    Attributes:
        expected: the expected scores of the endpoint's body, by version.
        number: the number of threads.
        patience: seconds during which a refused connection is tried again, before the request is sent.
        statuses: HTTP statuses that are no failure.
        keep: whether a thread keeps its connection, for each thread in turn.
        pause: seconds to wait after a status other than 200.

    """

    endpoint: Endpoint
    expected: Mapping[str, list[Any]]
    number: int = 4
    patience: float = 0
    statuses: tuple[int, ...] = (200,)
    keep: tuple[bool, ...] = (False, True)
    pause: float = 0
    answers: list[Answered] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Clients:
        """Start the threads."""
        kept = [self.keep[turn % len(self.keep)] for turn in range(self.number)]
        self.threads = [threading.Thread(target=self.run, args=[keep]) for keep in kept]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the threads."""
        self.over.set()
        for thread in self.threads:
            thread.join()

    def run(self, keep: bool) -> None:
        """Score until the block ends. keep: whether to keep the connection."""
        trust = ssl.create_default_context(cafile=str(self.endpoint.machine.secrets / "ca.crt"))
        login = base64.b64encode(f"{self.endpoint.user}:{self.endpoint.password}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        body = json.dumps(self.endpoint.body).encode()
        line: http.client.HTTPSConnection | None = None
        while not self.over.is_set():
            began, kept = time.monotonic(), line is not None
            try:
                line = line or self.connect(trust)
                try:
                    response = self.send(line, body, headers)
                except CLOSED:
                    if not kept:
                        raise
                    line = self.connect(trust)
                    response = self.send(line, body, headers)
                text = response.read()
                self.judge(began, response, text)
                if response.status != 200:
                    self.over.wait(self.pause)
                if not keep or response.will_close:
                    line.close()
                    line = None
            except (OSError, http.client.HTTPException) as error:
                connection = "kept" if kept else "new"
                after = f"{time.monotonic() - began:.1f} s on a {connection} connection"
                self.failures.append(f"{time.strftime('%X')} after {after}: {error!r}"[:200])
                line = None

    def send(
        self, line: http.client.HTTPSConnection, body: bytes, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        """Send the request; return the response."""
        line.request("POST", f"/serving/{self.endpoint.model}/invocations", body, headers)
        return line.getresponse()

    def connect(self, trust: ssl.SSLContext) -> http.client.HTTPSConnection:
        """Return an open connection; raise OSError if it is refused for longer than `patience`."""
        end = time.monotonic() + self.patience
        while True:
            line = http.client.HTTPSConnection(self.endpoint.machine.address, timeout=60, context=trust)
            try:
                line.connect()
                return line
            except OSError:
                if time.monotonic() >= end:
                    raise
                time.sleep(0.05)

    def judge(self, began: float, response: http.client.HTTPResponse, text: bytes) -> None:
        """Store a response, and store a failure if the response is wrong."""
        version = response.headers.get("X-Model-Version", "")
        found = Answered(began, time.monotonic(), response.status, version, response.headers.get("X-Request-Id", ""))
        self.answers.append(found)
        if response.status not in self.statuses:
            self.failures.append(f"{time.strftime('%X')} status {response.status}: {text[:120]!r}")
        elif response.status == 200 and json.loads(text)["predictions"] != self.expected[version]:
            self.failures.append(f"version {version} gave {text[:120]!r}")

    def first(self, version: str, since: float, seconds: float = 60) -> float:
        """Wait for a version's first response to a request sent after `since`; return the seconds since then."""
        seen, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            new = self.answers[seen:]
            seen += len(new)
            for each in new:
                if each.version == version and each.began >= since:
                    return each.ended - since
            time.sleep(0.02)
        raise AssertionError(f"no answer of version {version} within {seconds} s")


def quantile(values: list[float], share: float) -> float:
    """Return a quantile of some values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
