"""The rows that clients had scored in a period, read from the log in parts.

The memory that this takes grows with the number of the labels, and by 8 bytes for each row of two
days.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fraud.data.inference import (
    FOLLOWER,
    KEY,
    ROWS,
    days,
    folder_of,
    no_rows,
    read_labels,
    within,
)
from fraud.data.store import Store
from fraud.errors import ServiceError
from fraud.settings import Settings

#: Maximum number of rows of a part, and of objects that wait in memory. Serving begins a new object
#: after 10,000 rows.
PART, WAITING = 10_000, 4
#: The log's own columns. A feature of such a name has the prefix in the log.
OWN, PREFIX = frozenset(ROWS) | {"latency_ms"}, "feature."


def column_of(feature: str) -> str:
    """The log's column of a feature."""
    return f"{PREFIX}{feature}" if feature in OWN else feature


class Repetitions:
    """Finds rows that were in another part or object of the log.

    A request whose process ends is sent again with the same identifier, so its rows may be logged
    twice, seconds later: on the same day, or on the next. Rows of earlier days are forgotten.
    """

    def __init__(self) -> None:
        self.day = ""
        self.earlier = self.today = np.empty(0, dtype=np.uint64)

    def begin(self, day: str) -> None:
        """Begin an object of a day; days ascend."""
        if day != self.day:
            self.day, self.earlier, self.today = day, self.today, np.empty(0, dtype=np.uint64)

    def drop(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows that were not seen before. No two rows of the frame are the same."""
        names = _names(frame) + " " + frame["version"].astype(str).to_numpy()
        hashes = pd.util.hash_array(names.to_numpy(dtype=object), categorize=False)
        new = ~(_among(self.earlier, hashes) | _among(self.today, hashes))
        added = np.sort(hashes[new])
        self.today = np.insert(self.today, np.searchsorted(self.today, added), added)
        kept: pd.DataFrame = frame.loc[new]
        return kept


class Traffic:
    """The logged rows of a model, each once, without those with which serving tests a version.

    Iteration yields frames of at most `PART` rows with the columns of the log, `day` (in UTC) and
    `label`, the last label of the row (NaN if there is none).

    Attributes:
        rows: number of rows of the frames so far.
        unreadable: number of objects so far that are not Parquet files with the columns of the log.

    Args:
        settings: settings with the object store and the bucket of the log.
        model: name of the registered model.
        since, until: first and last day of prediction in UTC.

    """

    def __init__(self, settings: Settings, model: str, since: date, until: date) -> None:
        self.settings, self.model, self.since, self.until = settings, model, since, until
        self.store = Store(replace(settings, bucket=settings.log_bucket))
        self.rows = self.unreadable = 0

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """Yield the frames.

        Raises:
            DataError: the log has no rows of these days.
            ServiceError: the object store was not reached, or refused to return the log, or no
                object can be read.

        """
        folder = folder_of(self.model)
        keys = days(self.store.keys(f"{folder}date="), self.since, self.until)
        labels, self.unreadable = read_labels(self.store, folder, self.since)
        known = pd.Series(labels["label"].to_numpy(np.float64), _names(labels))
        repetitions = Repetitions()
        for key, content in zip(keys, self._contents(keys), strict=True):
            repetitions.begin(key.split("/")[1])
            for part in self._parts(content):
                frame = within(part[part["user"] != FOLLOWER], self.since, self.until, "UTC")
                frame = repetitions.drop(frame)
                if len(frame):
                    self.rows += len(frame)
                    yield frame.assign(label=known.reindex(_names(frame)).to_numpy())
        if not self.rows and self.unreadable:
            raise ServiceError(
                f"{self.unreadable:,} objects of the log of {self.model} cannot be read, and the "
                f"others have no rows from {self.since} to {self.until}",
                f"Look at them in the bucket {self.settings.log_bucket}.",
            )
        if not self.rows:
            raise no_rows(self.settings, self.model, self.since, self.until)

    def _contents(self, keys: list[str]) -> Iterator[bytes]:
        """The objects in the order of the keys. The next ones are read in the meantime."""
        waiting: deque[Future[bytes]] = deque()
        with ThreadPoolExecutor(WAITING) as pool:
            for key in keys:
                waiting.append(pool.submit(self.store.read, key))
                if len(waiting) == WAITING:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _parts(self, content: bytes) -> Iterator[pd.DataFrame]:
        """The rows of an object."""
        try:
            file = pq.ParquetFile(io.BytesIO(content))
            if not set(ROWS) <= set(file.schema_arrow.names):
                raise ValueError("a column is missing")
            for batch in file.iter_batches(PART):
                yield batch.to_pandas()
        except (pa.ArrowException, OSError, ValueError):
            self.unreadable += 1


def _among(known: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """(n,) whether each of the (n,) hashes is among known ones, which ascend."""
    places = np.searchsorted(known, hashes)
    found: np.ndarray = np.append(known, np.uint64(0))[places] == hashes
    return found & (places < len(known))


def _names(frame: pd.DataFrame) -> pd.Index:
    """A name for each row, made of its request and its number."""
    request, row = (frame[name] for name in KEY)
    return pd.Index(row.astype(str) + " " + request.astype(str))
