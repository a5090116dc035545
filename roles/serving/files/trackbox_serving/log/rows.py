"""Turn entries of the request log into Arrow tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from trackbox_serving.log import column_names
from trackbox_serving.models.scorer import Column
from trackbox_serving.names import FOLLOWER

TIME = pa.timestamp("us", tz="UTC")
KINDS = (pa.string(), pa.int32(), TIME, pa.string(), pa.string(), pa.float64())
FIRST = list(zip(column_names.FIRST, KINDS, strict=True))
LAST = list(zip(column_names.LAST, (pa.float64(), pa.int8()), strict=True))
NUMERIC = ("double", "float", "long", "integer", "boolean")


@dataclass(frozen=True)
class Entry:
    """A request that was answered.

    Attributes:
        request_id: identifier from NGINX, or our own.
        time: time of the response, in nanoseconds since 1970.
        user: user who sent the request, from NGINX.
        latency: latency in ms.
        features: matrix (n, k) in the signature's column order, or a table, or None if there is neither.
        scores: n scores, or None if the output is not one number for each row.
        count: number of rows n.

    """

    request_id: str
    time: int
    user: str
    latency: float
    features: Any
    scores: NDArray[np.float64] | None
    count: int


class Rows:
    """Builds tables from entries.

    Args:
        columns: columns of the signature. If the list is empty, only scores are logged.
        version: number of the model's version.
        threshold: score from which a row is flagged, or None if there are no decisions.

    """

    def __init__(self, columns: list[Column], version: str, threshold: float | None) -> None:
        self.columns, self.version, self.threshold = columns, version, threshold
        features = [
            (column_names.logged(column.name), pa.float64() if column.kind in NUMERIC else pa.string())
            for column in columns
        ]
        self.schema = pa.schema(FIRST + features + LAST)
        self.names = [column.name for column in columns]

    def table(self, entries: list[Entry]) -> pa.Table:
        """Return a table with the rows of all entries."""
        counts = [entry.count for entry in entries]

        def repeated(values: list[Any], kind: Any) -> pa.Array:
            indices = pa.array(np.repeat(np.arange(len(values)), counts))
            return pa.array(values, kind).take(indices)

        scores = np.concatenate(
            [np.full(entry.count, np.nan) if entry.scores is None else entry.scores for entry in entries]
        )
        logged = pa.array(scores, mask=np.isnan(scores))
        decision = None if self.threshold is None else (scores >= self.threshold).astype(np.int8)
        none = pa.nulls(len(scores), pa.int8())
        arrays = [
            repeated([entry.request_id for entry in entries], pa.string()),
            # Number the rows from 0 in each request, because clients send labels for a row of a request.
            pa.array(np.concatenate([np.arange(count) for count in counts]), pa.int32()),
            repeated([entry.time // 1000 for entry in entries], pa.int64()).cast(TIME),
            repeated([entry.user for entry in entries], pa.string()),
            pa.array([self.version]).take(pa.array(np.zeros(len(scores), np.int64))),
            repeated([entry.latency for entry in entries], pa.float64()),
            *(self.feature(entries, number) for number in range(len(self.columns))),
            logged,
            none if decision is None else pa.array(decision, mask=np.isnan(scores)),
        ]
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def sample(self, entries: list[Entry], most: int) -> dict[str, Any] | None:
        """Return the clients' last rows for the follower as a dictionary for JSON, or None if there are none.

        At most `most` rows are returned. They come from whole requests, so that each row keeps its number. Only a
        request with more than `most` rows is cut.
        """
        chosen: list[Entry] = []
        room = most
        for entry in reversed(entries) if self.columns and most else ():
            if entry.user == FOLLOWER or not entry.count:
                continue
            if chosen and entry.count > room:
                break
            if entry.count > most:
                entry = first_rows(entry, most)  # noqa: PLW2901
            chosen.insert(0, entry)
            room -= entry.count
            if room <= 0:
                break
        if not chosen:
            return None
        table = self.table(chosen)
        features = [table.column(column_names.logged(name)).to_pylist() for name in self.names]
        times = table.column("time").cast(pa.int64()).to_pylist()
        facts = {name: table.column(name).to_pylist() for name in ("request_id", "row", "score", "decision")}
        data = list(zip(*features, strict=True))
        return {"version": self.version, "columns": self.names, "data": data, "time": times, **facts}

    def feature(self, entries: list[Entry], number: int) -> pa.Array:
        """Return the values of a column of the signature."""
        column = self.columns[number]
        parts = [given(entry, number, column.name) for entry in entries]
        if column.kind in NUMERIC:
            return pa.array(np.concatenate([numbers(part) for part in parts]), pa.float64())
        return pa.array([text(value) for part in parts for value in part], pa.string())


def first_rows(entry: Entry, count: int) -> Entry:
    """Return the first rows of an entry."""
    features = entry.features[:count] if isinstance(entry.features, np.ndarray | pd.DataFrame) else None
    scores = None if entry.scores is None else entry.scores[:count]
    return replace(entry, features=features, scores=scores, count=count)


def given(entry: Entry, number: int, name: str) -> Any:
    """Return the n values of a column as they arrived. All of them are None if the rows do not contain n values."""
    rows = entry.features
    if isinstance(rows, np.ndarray) and rows.ndim == 2:
        return rows[:, number]
    if isinstance(rows, pd.DataFrame | dict) and name in rows:
        values = np.asarray(rows[name])
        if values.shape == (entry.count,):
            return values
    return np.full(entry.count, None)


def numbers(values: Any) -> NDArray[np.float64]:
    """Return values as numbers. If they cannot be converted, return NaN for each, so that the rows are still logged."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return np.full(len(values), np.nan)


def text(value: Any) -> str | None:
    """Return a value as text, or None if it is missing."""
    return None if value is None or (isinstance(value, float) and np.isnan(value)) else str(value)
