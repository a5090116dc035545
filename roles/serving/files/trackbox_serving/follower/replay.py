"""The last logged rows of each model, which a candidate scores before it goes live."""

from __future__ import annotations

import contextlib
import math
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from trackbox_serving.follower.settings import Settings
from trackbox_serving.follower.unix import FOLLOWER
from trackbox_serving.settings import Settings as Shared

# What a worker logs beside the features: trackbox_serving.log.rows. A feature of such a name has the prefix.
OURS = frozenset({"request_id", "time", "user", "version", "latency_ms", "score", "decision"})
PREFIX = "feature."
WHOLE = ("integer", "long")


class NotRegular(Exception):  # noqa: N818 - it is a finding
    """The path leads to a link, a pipe, or a file with a second name."""


@contextlib.contextmanager
def regular(path: Path) -> Iterator[BinaryIO]:
    """Open a file that a worker wrote. NotRegular: it is none. OSError: it cannot be read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink():
            raise NotRegular(str(path)) from error
        raise
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise NotRegular(str(path))
        yield file


def open_regular(path: Path, limit: int) -> bytes:
    """Return the first bytes of a file that a worker wrote; empty if it is no ordinary file."""
    try:
        with regular(path) as file:
            return file.read(limit)
    except NotRegular:
        return b""


def kept(state: Path, folder: str) -> Path:
    """Return where a model's last rows are. folder: its name on the disk."""
    return state / "replay" / f"{folder}.parquet"


def remember(settings: Settings, folder: str, source: BinaryIO) -> None:
    """Add a log's rows to the last ones of its model; the follower's own are left out. ValueError: it is no Parquet."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if settings.replay_rows < 1:
        return
    try:
        table = pq.read_table(source)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"a log cannot be read: {error}") from error
    finally:
        source.seek(0)
    features = [name for name in table.column_names if name not in OURS]
    if not features or "user" not in table.column_names:
        return
    mask = pc.fill_null(pc.not_equal(table["user"], FOLLOWER), True)
    table = table.filter(mask).select(features)
    if not len(table):
        return
    path = kept(settings.shared.state, folder)
    path.parent.mkdir(exist_ok=True)
    with contextlib.suppress(pa.ArrowException, OSError):
        before = pq.read_table(path)
        if before.schema.equals(table.schema):
            table = pa.concat_tables([before, table])
    new = path.with_name(f".{path.name}")
    pq.write_table(table.slice(max(0, len(table) - settings.replay_rows)), new, compression="zstd")
    new.replace(path)


def rows(shared: Shared, name: str, kinds: Mapping[str, str]) -> dict[str, Any]:
    """Return a model's last logged rows as `dataframe_split` has them; empty where there are none.

    kinds: by a column's name, its type in the model's signature: the log has each number as float64.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = kept(shared.state, quote(name, safe=""))
    try:
        table = pq.read_table(path) if path.exists() else None
    except (pa.ArrowException, OSError):
        return {}
    if table is None or not len(table):
        return {}
    names = [plain(name) for name in table.column_names]
    columns = [
        [value_of(value, kinds.get(name, "")) for value in column.to_pylist()]
        for name, column in zip(names, table.columns, strict=True)
    ]
    return {"columns": names, "data": [list(row) for row in zip(*columns, strict=True)]}


def plain(name: str) -> str:
    """Return a feature's own name."""
    return name.removeprefix(PREFIX) if name.removeprefix(PREFIX) in OURS else name


def value_of(value: Any, kind: str) -> Any:
    """Return a logged value as a client sends it."""
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if kind in WHOLE and value.is_integer():
            return int(value)
        if kind == "boolean":
            return bool(value)
    return value
