"""The log of a served model in the bucket `inference`: rows, labels, a challenger's scores.

Serving writes the objects; docs/serving.md has their columns:

    NAME/date=YYYY-MM-DD/….parquet           scored rows, by the day (UTC) of the response
    NAME/labels/date=YYYY-MM-DD/….parquet    labels, by the day on which they were received
    NAME/shadow/date=YYYY-MM-DD/….parquet    a challenger's scores of logged rows
"""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, timedelta
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fraud.data.store import Store
from fraud.errors import DataError
from fraud.settings import Settings

#: The user of requests that serving sends to test a version. Rows of these requests are ignored.
FOLLOWER = "trackbox-follower"
ROWS = ("request_id", "row", "time", "user", "version", "score", "decision")
LABELS = ("request_id", "row", "label", "time")
SHADOW = ("request_id", "row", "time", "version", "score", "decision")
LIVE = ("live_version", "live_score", "live_decision")
KEY = ["request_id", "row"]
DATE = re.compile(r"/date=(\d{4}-\d{2}-\d{2})/")


@dataclass(frozen=True)
class Log:
    """The log of one model.

    Attributes:
        rows: one row for each scored row, with the columns `ROWS`, `day`, and `label`, the last
            label of the row (NaN if there is none).
        shadow: rows that a challenger scored, with the columns `SHADOW`, `LIVE`, `day`, `label`.
        unknown: number of labels whose row is not in `rows`.
        unreadable: number of objects that are not Parquet files with the columns of the log.

    """

    rows: pd.DataFrame
    shadow: pd.DataFrame
    unknown: int
    unreadable: int


def days(keys: list[str], since: date | None, until: date | None) -> list[str]:
    """The keys of these days, and of the days before and after, because dates in keys are UTC."""
    margin = timedelta(days=1)
    found = []
    for key in keys:
        match = DATE.search(key)
        day = date.fromisoformat(match[1]) if match else None
        if day is None or (since and day < since - margin) or (until and day > until + margin):
            continue
        found.append(key)
    return found


def read_table(content: bytes, columns: tuple[str, ...]) -> pd.DataFrame | None:
    """Read these columns of an object; None if it is not a Parquet file that has all of them."""
    try:
        table = pq.read_table(io.BytesIO(content), columns=list(columns))
    except (pa.ArrowException, OSError, ValueError):
        return None
    return table.to_pandas() if set(columns) <= set(table.column_names) else None


def read_all(store: Store, keys: list[str], columns: tuple[str, ...]) -> tuple[pd.DataFrame, int]:
    """The rows of all objects in the order of the keys, and the number of unreadable objects."""
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda key: read_table(store.read(key), columns), keys))
    good = [part for part in parts if part is not None and len(part)]
    frame = pd.concat(good, ignore_index=True) if good else pd.DataFrame(columns=list(columns))
    return frame, sum(part is None for part in parts)


def within(
    frame: pd.DataFrame, since: date | None, until: date | None, time_zone: str
) -> pd.DataFrame:
    """Select the rows of these days, add the column `day`, drop repeated rows of a version."""
    time = pd.to_datetime(frame["time"], utc=True)
    frame = frame.assign(time=time, day=time.dt.tz_convert(time_zone).dt.date)
    keep = np.ones(len(frame), dtype=bool)
    if since:
        keep &= (frame["day"] >= since).to_numpy(dtype=bool)
    if until:
        keep &= (frame["day"] <= until).to_numpy(dtype=bool)
    frame = frame[keep].sort_values("time", kind="stable")
    return frame.drop_duplicates([*KEY, "version"], keep="last")


def folder_of(model: str) -> str:
    """The prefix of the keys of a model's log."""
    return f"{quote(model, safe='')}/"


def no_rows(settings: Settings, model: str, since: date | None, until: date | None) -> DataError:
    """The error for a log that has no rows of these days."""
    when = f" from {since or 'the beginning'} to {until or 'now'}" if since or until else ""
    return DataError(
        f"The bucket {settings.log_bucket} has no logged rows of {model}{when}",
        f"Score some at {settings.serving_url}/, and see that serving_log is not `off`.",
    )


def read_labels(store: Store, folder: str, since: date | None) -> tuple[pd.DataFrame, int]:
    """The last label of each row that got one since a day, and the number of unreadable objects.

    Labels arrive weeks after the prediction, so those that arrived until now are read.
    """
    keys = days(store.keys(f"{folder}labels/"), since, None)
    labels, unread = read_all(store, keys, LABELS)
    labels = labels.sort_values("time", kind="stable").drop_duplicates(KEY, keep="last")
    return labels[[*KEY, "label"]], unread


def read_log(
    settings: Settings,
    model: str,
    since: date | None = None,
    until: date | None = None,
    time_zone: str = "UTC",
) -> Log:
    """Read the log of a model.

    Args:
        settings: settings with the object store and the bucket of the log.
        model: name of the registered model.
        since, until: first and last day of prediction; None means no limit.
        time_zone: time zone of these days, such as `Europe/Berlin`.

    Raises:
        DataError: the log has no rows of these days.
        ServiceError: the object store was not reached, or refused to return the log.

    """
    store = Store(replace(settings, bucket=settings.log_bucket))
    folder = folder_of(model)
    logged = days(store.keys(f"{folder}date="), since, until)
    rows, broken = read_all(store, logged, ROWS)
    rows = within(rows[rows["user"] != FOLLOWER], since, until, time_zone)
    # If a process dies, NGINX repeats the request, so two versions may have scored the same row.
    # Keep the later row.
    rows = rows.drop_duplicates(KEY, keep="last")
    if rows.empty:
        raise no_rows(settings, model, since, until)
    labels, unread = read_labels(store, folder, since)
    shadowed = days(store.keys(f"{folder}shadow/"), since, until)
    shadow, more = read_all(store, shadowed, SHADOW + LIVE)
    shadow = within(shadow, since, until, time_zone).merge(labels, "left", KEY)
    joined = rows.merge(labels, "left", KEY)
    unknown = len(labels) - int(joined["label"].notna().sum())
    return Log(joined, shadow, unknown, broken + unread + more)
