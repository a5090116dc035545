"""Counts requests to NGINX by service and class of status, and their latencies, from the growing access log."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from trackbox_monitoring.exposition import Family, Histogram

# The maximum number of bytes that one round reads: about 200,000 requests.
MOST = 64 << 20
NAMES = ("mlflow", "s3", "serving", "console", "status")
# The upper ends of the buckets for latencies, in seconds.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SERVICES = ((b"/serving", "serving"), (b"/minio", "console"), (b"/status", "status"))


def between(line: bytes, begin: bytes, end: bytes) -> bytes:
    """Return the bytes of a line between `begin` and the next `end`; empty if the line does not contain `begin`."""
    return line.partition(begin)[2].partition(end)[0]


def service(line: bytes) -> str:
    """Return the service that a logged request went to. Only the log lines of S3 requests have an s3_user."""
    if b'"s3_user":' in line:
        return "s3"
    path = between(line, b'"path":"', b'"')
    return next((name for prefix, name in SERVICES if path.startswith(prefix)), "mlflow")


class NginxLog:
    """The log at a path, read from its current end on and across rotations. A line is counted once it is complete."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: BinaryIO | None = None
        self.rest = b""
        self.counts: Counter[tuple[str, str]] = Counter()
        self.seconds = {name: Histogram(BOUNDS) for name in NAMES}
        self.problem = ""
        self.open(at_end=True)

    def open(self, *, at_end: bool = False) -> None:
        """Open the log file that is now at the path, which is a new one after a rotation."""
        try:
            self.file = self.path.open("rb")
            self.file.seek(0, os.SEEK_END if at_end else os.SEEK_SET)
            self.rest, self.problem = b"", ""
        except OSError as error:
            self.file, self.problem = None, f"{self.path} cannot be read: {error.strerror}"

    def count(self) -> None:
        """Count the requests that were logged since the last call."""
        if self.file is None:
            self.open()
        if self.file is None:
            return
        self.take(self.file.read(MOST))
        try:
            rotated = not os.path.samestat(os.fstat(self.file.fileno()), self.path.stat())
        except FileNotFoundError:
            return
        if rotated:
            self.take(self.file.read(MOST))
            self.file.close()
            self.open()
        elif self.file.tell() > self.path.stat().st_size:
            self.file.seek(0)
            self.rest = b""

    def take(self, text: bytes) -> None:
        """Count the complete lines of a text, and keep the incomplete last line."""
        *lines, self.rest = (self.rest + text).split(b"\n")
        for line in lines:
            status = between(line, b'"status":', b",")
            if len(status) == 3 and status.isdigit():
                name = service(line)
                self.counts[name, f"{status[:1].decode()}xx"] += 1
                with suppress(ValueError):
                    self.seconds[name].observe(float(between(line, b'"seconds":', b",")))

    def metrics(self) -> list[Family]:
        """Return the counts since the program's start. 5xx starts at 0, so that the first error is an increase."""
        family = Family("trackbox_nginx_requests_total", "counter", "Requests to NGINX, by service and status")
        known = {(name, kind) for name in NAMES for kind in ("2xx", "5xx")}
        for name, kind in sorted(known | set(self.counts)):
            family.add(self.counts[name, kind], service=name, status=kind)
        seconds = Family(
            "trackbox_nginx_request_seconds", "histogram", "From a request's first byte to its last answer"
        )
        for name, histogram in self.seconds.items():
            seconds.add_histogram(histogram, service=name)
        return [family, seconds]
