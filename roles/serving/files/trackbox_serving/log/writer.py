"""The queues and the threads that write the request log of one process, and the labels that clients send."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any, Protocol

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from trackbox_serving.log.column_names import SAMPLE
from trackbox_serving.web import metrics

CLOSE_SECONDS = 60.0
CLOSE_ROWS = 10_000
OPEN = ".open-"


class Entry(Protocol):
    """An entry that waits to be written. `count` is its number of rows, `time` is in nanoseconds since 1970."""

    @property
    def count(self) -> int: ...  # noqa: D102 - described in the docstring of the class

    @property
    def time(self) -> int: ...  # noqa: D102


class Tables(Protocol):
    """Builds tables and the follower's samples from entries."""

    def table(self, entries: list[Any]) -> pa.Table: ...  # noqa: D102

    def sample(self, entries: list[Any], most: int) -> dict[str, Any] | None: ...  # noqa: D102


class Writer:
    """Takes entries from requests, and writes them in a thread.

    Attributes:
        prefix: prefix of the files' names.

    Args:
        folder: folder of the closed files.
        rows: object that builds tables from entries.
        most: maximum number of rows that wait. Further rows are dropped and counted. An empty queue accepts a request
            with more rows.
        sampled: number of rows of each file that the follower gets as JSON.

    """

    prefix = ""

    def __init__(self, folder: Path, rows: Tables, most: int, sampled: int = 0) -> None:
        self.folder, self.rows, self.most, self.sampled = folder, rows, most, sampled
        self.waiting = 0
        self.lock = threading.Lock()
        self.entries: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self.run, name="request log")

    def start(self) -> None:
        """Start the thread. Call this method after the fork, because threads do not survive a fork."""
        self.thread.start()

    def add(self, entry: Entry) -> None:
        """Queue an entry, or count its rows as dropped if there is no room. This method never blocks."""
        if not self.offer(entry):
            metrics.DROPPED.labels("queue").inc(entry.count)

    def offer(self, entry: Entry) -> bool:
        """Queue an entry, and return whether there was room for it. This method never blocks."""
        with self.lock:
            if self.waiting and self.waiting + entry.count > self.most:
                return False
            self.waiting += entry.count
        self.entries.put(entry)
        return True

    def stop(self) -> None:
        """Write the waiting entries, and end the thread."""
        self.entries.put(None)
        self.thread.join()

    def due(self) -> float:
        """Return the time.monotonic() at which a file that begins now must be closed."""
        return time.monotonic() + CLOSE_SECONDS

    def written(self, entries: list[Any], on_disk: bool) -> None:
        """Count the rows of a file."""
        counter = metrics.LOGGED if on_disk else metrics.DROPPED.labels("disk")
        counter.inc(sum(entry.count for entry in entries))

    def run(self) -> None:
        """Collect entries, and write a file as soon as it is due."""
        pending: list[Entry] = []
        count, due, ended = 0, 0.0, False
        while not ended:
            try:
                entry = self.entries.get(timeout=max(0.0, due - time.monotonic()) if pending else None)
            except queue.Empty:
                entry = None
            else:
                ended = entry is None
            # Begin a new file with each hour, because a file's name contains its hour.
            if pending and (entry is None or hour(entry) != hour(pending[0])):
                self.write(pending, count)
                pending, count = [], 0
            if entry is None:
                continue
            if not pending:
                due = self.due()
            pending.append(entry)
            count += entry.count
            with self.lock:
                self.waiting -= entry.count
            if count >= CLOSE_ROWS or time.monotonic() >= due:
                self.write(pending, count)
                pending, count = [], 0

    def write(self, entries: list[Entry], count: int) -> None:
        """Write a file, and rename it after fsync."""
        # The time makes the name unique, even if the follower has already deleted a file of this hour and process.
        name = f"{self.prefix}{hour(entries[0])}-{os.getpid()}-{time.time_ns() // 1000}.parquet"
        part = self.folder / f"{OPEN}{os.getpid()}-{name}"
        try:
            with part.open("xb") as file:
                pq.write_table(self.rows.table(entries), file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
            part.rename(self.folder / name)
            sync(self.folder)
        except (OSError, pa.ArrowException, ValueError, TypeError) as error:
            reason = f"{type(error).__name__}: {error}"
            print(f"the disk did not take {count} rows of {self.folder}: {reason}", file=sys.stderr, flush=True)
            part.unlink(missing_ok=True)
            self.written(entries, on_disk=False)
        else:
            self.written(entries, on_disk=True)
            self.write_sample(entries, name)

    def write_sample(self, entries: list[Any], name: str) -> None:
        """Write sample rows for the follower. Ignore errors, because the follower can work without them."""
        part = self.folder / f"{OPEN}{name}{SAMPLE}"
        try:
            if sample := self.rows.sample(entries, self.sampled):
                part.write_bytes(orjson.dumps(sample))
                part.rename(self.folder / f"{name}{SAMPLE}")
        except (OSError, pa.ArrowException, ValueError, TypeError):
            part.unlink(missing_ok=True)


def hour(entry: Entry) -> str:
    """Return the hour of an entry in UTC, like `2026112920`."""
    return time.strftime("%Y%m%d%H", time.gmtime(entry.time // 1_000_000_000))


def sync(folder: Path) -> None:
    """Call fsync for a folder, so that new file names survive a crash."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def prepare(folder: Path) -> None:
    """Create the folder, and remove incomplete files of killed processes. Call this before any process starts."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in folder.glob(f"{OPEN}*"):
        part.unlink()
