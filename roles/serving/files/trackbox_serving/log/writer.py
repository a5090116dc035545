"""Write the files of one process: the request log, and the labels that clients send."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from trackbox_serving.log.batches import Batches, Entry, hour
from trackbox_serving.log.column_names import SAMPLE
from trackbox_serving.web import metrics

OPEN = ".open-"


class Tables(Protocol):
    """Builds tables and the follower's samples from entries."""

    def table(self, entries: list[Any]) -> pa.Table: ...  # noqa: D102

    def sample(self, entries: list[Any], most: int) -> dict[str, Any] | None: ...  # noqa: D102


class Writer(Batches):
    """Writes each batch of entries into a file. Rows that find no room in the queue are counted.

    Attributes:
        prefix: prefix of the files' names.

    Args:
        folder: folder of the closed files.
        rows: object that builds tables from entries.
        most, watch: see `Batches`.
        sampled: number of rows of each file that the follower gets as JSON.

    """

    prefix = ""

    def __init__(
        self,
        folder: Path,
        rows: Tables,
        most: int,
        sampled: int = 0,
        watch: Callable[[list[Any]], None] | None = None,
    ) -> None:
        super().__init__(most, watch)
        self.folder, self.rows, self.sampled = folder, rows, sampled

    def add(self, entry: Entry) -> None:
        """Queue an entry, or count its rows as dropped if there is no room. This method never blocks."""
        if not self.offer(entry):
            metrics.DROPPED.labels("queue").inc(entry.count)

    def written(self, entries: list[Any], on_disk: bool) -> None:
        """Count the rows of a file as logged, or as dropped if they are not on the disk."""
        counter = metrics.LOGGED if on_disk else metrics.DROPPED.labels("disk")
        counter.inc(sum(entry.count for entry in entries))

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
