"""Files of transactions that need not fit into memory, a chunk at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
from pyarrow import csv

from fraud.data.reading import (
    PARQUET,
    check_types,
    csv_header,
    csv_options,
    explained,
    head,
    open_csv,
)

#: Rows of a Parquet file that are in memory at a time.
CHUNK_ROWS = 1 << 17


def columns(path: Path) -> list[str]:
    """The names of a file's columns.

    Raises:
        DataError: the file cannot be read, or a Parquet column holds no numbers.
    """
    if head(path) != PARQUET:
        return csv_header(path)
    with explained(path):
        schema = pq.read_schema(path)
    return list(schema.names)


def chunks(path: Path, names: list[str]) -> Iterator[pd.DataFrame]:
    """The columns `names` of a file, some 10,000 rows at a time, as float64.

    Raises:
        DataError: the file cannot be read.
    """
    with explained(path):
        if head(path) == PARQUET:
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
        explained(path, header),
        open_csv(path) as stream,
        csv.open_csv(stream, **options) as reader,
    ):
        for batch in reader:
            yield batch.to_pandas()
