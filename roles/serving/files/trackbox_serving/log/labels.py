"""Labels that clients send for rows that were scored, and the thread that writes them into files of their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from trackbox_serving.log.column_names import LABELS
from trackbox_serving.log.rows import TIME
from trackbox_serving.log.writer import Writer
from trackbox_serving.web import metrics

# The minimum seconds between two files of a process. Labels that arrive in between share the next file.
PAUSE = 1.0
SCHEMA = pa.schema(
    [("request_id", pa.string()), ("row", pa.int32()), ("label", pa.float64()), ("time", TIME), ("user", pa.string())]
)


@dataclass(frozen=True)
class Labels:
    """The labels of one request, n of them.

    Attributes:
        request_ids: n identifiers of the scored requests.
        rows: n indices of the labelled rows in their requests.
        labels: n labels.
        time: time of arrival, in nanoseconds since 1970.
        user: user who sent the labels, from NGINX.
        done: function that the writer's thread calls with True if the labels are on the disk, else with False.

    """

    request_ids: list[str]
    rows: list[int]
    labels: list[float]
    time: int
    user: str
    done: Callable[[bool], None]

    @property
    def count(self) -> int:
        """The number of labels."""
        return len(self.labels)


class LabelTables:
    """Builds Arrow tables of labels."""

    def table(self, entries: list[Labels]) -> pa.Table:
        """Return the labels of all entries in order of arrival, because the last label of a row counts."""
        counts = [entry.count for entry in entries]
        times = np.repeat([entry.time // 1000 for entry in entries], counts)
        columns = [
            pa.array([one for entry in entries for one in entry.request_ids], pa.string()),
            pa.array([one for entry in entries for one in entry.rows], pa.int32()),
            pa.array([one for entry in entries for one in entry.labels], pa.float64()),
            pa.array(times, pa.int64()).cast(TIME),
            pa.array([entry.user for entry in entries for _ in range(entry.count)], pa.string()),
        ]
        return pa.Table.from_arrays(columns, schema=SCHEMA)

    def sample(self, entries: list[Labels], most: int) -> None:
        """Return None, because the follower needs no labels."""


class LabelWriter(Writer):
    """Writes labels at once, and tells each sender whether they are on the disk. At most `most` labels may wait."""

    prefix = LABELS

    def __init__(self, folder: Path, most: int) -> None:
        super().__init__(folder, LabelTables(), most)
        self.last = -PAUSE

    def due(self) -> float:
        """Return the time.monotonic() of the next file: now, but not earlier than PAUSE after the last file."""
        return max(time.monotonic(), self.last + PAUSE)

    def written(self, entries: list[Labels], on_disk: bool) -> None:
        """Tell the senders whether their labels are on the disk."""
        self.last = time.monotonic()
        for entry in entries:
            if on_disk:
                metrics.LABELS.inc(entry.count)
            entry.done(on_disk)
