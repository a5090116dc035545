"""Read files of transactions in chunks, so that memory use does not grow with the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
from pyarrow import csv

from fraud.data.reading import (
    PARQUET,
    as_data_errors,
    check_types,
    csv_header,
    csv_options,
    first_bytes,
    open_csv,
)

#: Number of rows in a chunk of a Parquet file.
CHUNK_ROWS = 1 << 17


def columns(path: Path) -> list[str]:
    """The names of a file's columns.

    Raises:
        DataError: the file cannot be read.

    """
    if first_bytes(path) != PARQUET:
        return csv_header(path)
    with as_data_errors(path):
        schema = pq.read_schema(path)
    return list(schema.names)


def chunks(path: Path, names: list[str]) -> Iterator[pd.DataFrame]:
    """Read the columns `names` of a file in chunks: CHUNK_ROWS rows of Parquet, or 8 MB of CSV.

    Yields:
        Chunks in the order of the file; float64, columns in the order of `names`.

    Raises:
        DataError: the file cannot be read, or a column is not numeric.

    """
    with as_data_errors(path):
        if first_bytes(path) == PARQUET:
            file = pq.ParquetFile(path, pre_buffer=False)
            check_types([file.schema_arrow.field(name) for name in names], path)
            for batch in file.iter_batches(CHUNK_ROWS, columns=names):
                yield batch.to_pandas()[names].astype("float64")
        else:
            yield from _csv_chunks(path, names)


def _csv_chunks(path: Path, names: list[str]) -> Iterator[pd.DataFrame]:
    header = csv_header(path)
    options = csv_options(header, names)
    with (
        as_data_errors(path, header),
        open_csv(path) as stream,
        csv.open_csv(stream, **options) as reader,
    ):
        for batch in reader:
            yield batch.to_pandas()
