"""A queue and a thread for work that requests need not wait for, such as writing the log."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

CLOSE_SECONDS = 60.0
CLOSE_ROWS = 10_000


class Entry(Protocol):
    """An entry that waits. `count` is its number of rows, `time` is in nanoseconds since 1970."""

    @property
    def count(self) -> int: ...  # noqa: D102 - described in the docstring of the class

    @property
    def time(self) -> int: ...  # noqa: D102


class Batches:
    """Queues entries of requests. A thread passes the entries in batches to `watch`, and then to `write`.

    A batch ends after CLOSE_SECONDS, with CLOSE_ROWS rows, or at the end of an hour.

    Args:
        most: maximum number of rows that wait. Further rows are dropped. An empty queue accepts a request with more
            rows.
        watch: function that gets each batch first. Its errors are printed, and `write` gets the batch in any case.

    """

    def __init__(self, most: int, watch: Callable[[list[Any]], None] | None = None) -> None:
        self.most, self.watch = most, watch
        self.waiting = 0
        self.lock = threading.Lock()
        self.entries: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self.run, name="request log")

    def start(self) -> None:
        """Start the thread. Call this method after the fork, because threads do not survive a fork."""
        self.thread.start()

    def add(self, entry: Entry) -> None:
        """Queue an entry, or drop it if there is no room. This method never blocks."""
        self.offer(entry)

    def offer(self, entry: Entry) -> bool:
        """Queue an entry, and return whether there was room for it. This method never blocks."""
        with self.lock:
            if self.waiting and self.waiting + entry.count > self.most:
                return False
            self.waiting += entry.count
        self.entries.put(entry)
        return True

    def stop(self) -> None:
        """Process the waiting entries, and end the thread."""
        self.entries.put(None)
        self.thread.join()

    def due(self) -> float:
        """Return the time.monotonic() at which a batch that begins now must end."""
        return time.monotonic() + CLOSE_SECONDS

    def run(self) -> None:
        """Collect entries, and process a batch as soon as it is due."""
        pending: list[Entry] = []
        count, due, ended = 0, 0.0, False
        while not ended:
            try:
                entry = self.entries.get(timeout=max(0.0, due - time.monotonic()) if pending else None)
            except queue.Empty:
                entry = None
            else:
                ended = entry is None
            # Begin a new batch with each hour, because a file's name contains its hour.
            if pending and (entry is None or hour(entry) != hour(pending[0])):
                self.hand_on(pending, count)
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
                self.hand_on(pending, count)
                pending, count = [], 0

    def hand_on(self, entries: list[Entry], count: int) -> None:
        """Pass a batch of `count` rows to `watch` and `write`."""
        if self.watch:
            try:
                self.watch(entries)
            except Exception as error:
                print(f"{count} rows were not counted: {type(error).__name__}", file=sys.stderr, flush=True)
        self.write(entries, count)

    def write(self, entries: list[Any], count: int) -> None:
        """Do nothing, because this class is for versions without a log. Subclasses write the batch to a file."""


def hour(entry: Entry) -> str:
    """Return the hour of an entry in UTC, like `2026112920`."""
    return time.strftime("%Y%m%d%H", time.gmtime(entry.time // 1_000_000_000))
