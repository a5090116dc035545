"""`fraud predict`: score a file of any size with the champion, chunk by chunk."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from mlflow import MlflowClient
from pyarrow import csv

from fraud.data.chunks import chunks, columns
from fraud.data.reading import first_bytes
from fraud.data.schema import check_columns, check_numbers
from fraud.errors import DataError, OutputError, RegistryError
from fraud.models.loading import LoadedModel, load_model
from fraud.settings import Settings
from fraud.tracking.registry import CHAMPION, NAME, version_by_alias
from fraud.types import Prediction

T = TypeVar("T")
OUTPUT = pa.schema(
    [("score", pa.float64()), ("decision", pa.int8()), ("model_version", pa.int32())]
)


def champion(settings: Settings) -> tuple[str, LoadedModel]:
    """The champion's version and model.

    Raises:
        RegistryError: there is no champion.

    """
    version = version_by_alias(MlflowClient(settings.tracking_uri), CHAMPION)
    if version is None:
        raise RegistryError(
            f"The model {NAME} has no champion", "`fraud train`, then `fraud promote`."
        )
    return version.version, load_model(f"models:/{NAME}/{version.version}", settings.tracking_uri)


def prefetch(items: Iterator[T]) -> Iterator[T]:
    """Yield the items. A thread computes the next item while the caller uses the current item."""
    end: Any = object()
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(next, items, end)
        while (item := pending.result()) is not end:
            pending = pool.submit(next, items, end)
            yield item


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path; rename the file to `path` after success, delete it after an error.

    Raises:
        OutputError: the disk is full, or the directory does not exist or is not writable.

    """
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        number = error.errno or int((re.findall(r"\[errno (\d+)\]", str(error)) or [0])[0])
        raise OutputError(
            f"{path} cannot be written ({os.strerror(number) if number else error})",
            "Choose another file with -o; no partial file is left.",
        ) from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def writer(path: Path, parquet: bool) -> Iterator[Callable[[pa.Table], None]]:
    """Open a new file and yield a function that appends tables of the schema `OUTPUT`."""
    make = pq.ParquetWriter if parquet else csv.CSVWriter
    with make(str(path), OUTPUT) as file:
        yield file.write_table


def score_table(frame: pd.DataFrame, model: LoadedModel, version: str) -> pa.Table:
    """Score n rows; return a table with the schema `OUTPUT` and n rows."""
    scores = model.predict(frame)
    values = [
        scores,
        (scores >= model.threshold).astype(np.int8),
        np.full(len(scores), int(version), dtype=np.int32),
    ]
    return pa.table(values, schema=OUTPUT)


def predict(
    source: Path, output: Path, settings: Settings, progress: Callable[[int], None]
) -> Prediction:
    """Score a CSV or Parquet file, in the order of its rows and in constant memory.

    Args:
        source: a file with at least the columns of the champion's signature.
        output: the file to write: Parquet if its name ends in `.parquet`, otherwise CSV.
        settings: settings with the tracking server's address.
        progress: called with the number of rows that are scored so far.

    Raises:
        DataError: the file cannot be read, lacks a column, or has a cell that is not a finite
            number.
        OutputError: the result cannot be written.
        RegistryError: there is no champion.

    """
    first_bytes(source)  # raises DataError if the file cannot be read
    if output.exists() and output.samefile(source):
        raise DataError(f"{output} is the input itself", "Name another output with -o.")
    version, model = champion(settings)
    check_columns(columns(source), str(source), model.columns, extra=True)
    rows = flagged = 0
    with (
        atomic_write(output) as part,
        writer(part, output.suffix == ".parquet") as write,
        ThreadPoolExecutor(1) as pool,
    ):
        pending = None
        for frame in prefetch(chunks(source, model.columns)):
            check_numbers(frame, str(source), first=rows)
            table = score_table(frame, model, version)
            if pending:
                pending.result()
            pending = pool.submit(write, table)
            rows += len(frame)
            flagged += int(np.sum(table["decision"].to_numpy()))
            progress(rows)
        if pending is None:
            raise DataError(f"{source} has a header and no rows", "Add some transactions.")
        pending.result()
    return Prediction(rows, flagged, version, model.threshold, str(output))
