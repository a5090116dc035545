"""Read Parquet and Arrow bodies into a matrix. MLflow's own server accepts Parquet, but not Arrow's IPC formats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trackbox_serving.bodies.json_rows import plain
from trackbox_serving.models.scorer import Column

PARQUET = "application/vnd.apache.parquet"
ARROW_STREAM, ARROW_FILE = "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file"
#: For each of these MLflow types, the only Arrow type that MLflow accepts without a conversion rule.
TYPES = {"double": pa.float64(), "long": pa.int64(), "integer": pa.int32()}


class TooManyRowsError(Exception):
    """A body has more rows than a request may have."""


def read_table(body: bytes, kind: str, max_rows: int) -> pa.Table:
    """Read the body of a request into a table.

    Args:
        body: bytes of the body.
        kind: content type of the body.
        max_rows: maximum number of rows, because a small file may decompress to any number of rows.

    Raises:
        TooManyRowsError: there are more than `max_rows` rows. Parquet is checked before it is decompressed.
        pyarrow.ArrowException: the body is not in this format.

    """
    source = pa.py_buffer(body)
    if kind == PARQUET:
        file = pq.ParquetFile(pa.BufferReader(source))
        if file.metadata.num_rows > max_rows:
            raise TooManyRowsError
        return file.read(use_threads=False)
    batches: Any = pa.ipc.open_stream(source) if kind == ARROW_STREAM else pa.ipc.open_file(source)
    found, rows = [], 0
    for number in range(batches.num_record_batches) if kind == ARROW_FILE else iter(int, 1):
        try:
            batch = batches.get_batch(number) if kind == ARROW_FILE else batches.read_next_batch()
        except StopIteration:
            break
        rows += batch.num_rows
        if rows > max_rows:
            raise TooManyRowsError
        found.append(batch)
    return pa.Table.from_batches(found, batches.schema)


def table_rows(table: pa.Table, columns: list[Column]) -> NDArray[np.float64] | None:
    """Return a matrix (n, k), n > 0, in the signature's column order, or None if MLflow has to read the table."""
    names = table.column_names
    index = {name for name in (table.schema.pandas_metadata or {}).get("index_columns", ()) if isinstance(name, str)}
    if not table.num_rows or len(set(names)) != len(names):
        return None
    arrays = []
    for column in columns:
        # Leave the table to MLflow if its metadata lists the column in index_columns: pandas would make it an index.
        if column.name not in names or column.name in index:
            return None
        array = table.column(column.name)
        if array.type != TYPES.get(column.kind) or (column.kind != "double" and array.null_count):
            return None
        arrays.append(array.to_numpy())
    whole = [i for i, column in enumerate(columns) if column.kind != "double"]
    matrix = np.column_stack(arrays).astype(np.float64, copy=False)
    return matrix if plain(matrix, whole) else None
