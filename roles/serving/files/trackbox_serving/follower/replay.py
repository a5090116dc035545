"""The last logged rows of each model, which a candidate scores before it goes live."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from trackbox_serving.follower.settings import Settings
from trackbox_serving.follower.unix import FOLLOWER
from trackbox_serving.log import column_names
from trackbox_serving.settings import Settings as Shared

WHOLE = ("integer", "long")


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
    features = [name for name in table.column_names if name not in column_names.OURS]
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
    names = [column_names.feature(name) for name in table.column_names]
    values = [
        [value_of(value, kinds.get(name, "")) for value in column.to_pylist()]
        for name, column in zip(names, table.columns, strict=True)
    ]
    return {"columns": names, "data": [list(row) for row in zip(*values, strict=True)]}


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
