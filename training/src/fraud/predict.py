"""`fraud predict`: a file of any size through the champion, in chunks."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from fraud.data.chunks import chunks, columns
from fraud.data.reading import head
from fraud.data.schema import check_columns, check_numbers
from fraud.errors import DataError, OutputError, RegistryError
from fraud.models.loading import Scorer, fetch
from fraud.settings import Settings
from fraud.tracking.registry import CHAMPION, NAME, by_alias
from fraud.tracking.tracker import Tracker

T = TypeVar("T")
OUTPUT = pa.schema(
    [("score", pa.float64()), ("decision", pa.int8()), ("model_version", pa.int32())]
)


@dataclass(frozen=True)
class Scored:
    """What was done: rows scored and flagged, by which version, into which file."""

    rows: int
    flagged: int
    version: str
    threshold: float
    output: str


def champion(settings: Settings) -> tuple[str, Scorer]:
    """The champion's version and model.

    Raises:
        RegistryError: there is none.
    """
    version = by_alias(Tracker(settings), CHAMPION)
    if version is None:
        raise RegistryError(
            f"The model {NAME} has no champion", "`fraud train`, then `fraud promote`."
        )
    return version.version, fetch(f"models:/{NAME}/{version.version}", settings.tracking_uri)


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, the next one prepared in a thread while this one is in use."""
    end: Any = object()
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(next, items, end)
        while (item := pending.result()) is not end:
            pending = pool.submit(next, items, end)
            yield item


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path to write to that becomes `path` when the block ends well, and vanishes if not.

    Raises:
        OutputError: the disk is full, or the directory is missing or not writable.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        number = error.errno or int((re.findall(r"\[errno (\d+)\]", str(error)) or [0])[0])
        raise OutputError(
            f"{path} cannot be written ({os.strerror(number) if number else error})",
            "Choose another place with -o; nothing was left there.",
        ) from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def writer(path: Path, parquet: bool) -> Iterator[Callable[[pa.Table], None]]:
    """A function that appends tables of the schema `OUTPUT` to a new file."""
    make = pq.ParquetWriter if parquet else csv.CSVWriter
    with make(str(path), OUTPUT) as file:
        yield file.write_table


def scored(frame: pd.DataFrame, scorer: Scorer, version: str) -> pa.Table:
    """Score, decision and version for n rows."""
    scores = scorer.score(frame)
    values = [
        scores,
        (scores >= scorer.threshold).astype(np.int8),
        np.full(len(scores), int(version), dtype=np.int32),
    ]
    return pa.table(values, schema=OUTPUT)


def predict(
    source: Path, output: Path, settings: Settings, progress: Callable[[int], None]
) -> Scored:
    """Score a CSV or Parquet file, in the order of its rows and in constant memory.

    Args:
        source: with at least the columns of the champion's signature.
        output: `.parquet` for Parquet, everything else is CSV.
        progress: is told how many rows are done.

    Raises:
        DataError: the file or its columns are not what they should be.
        OutputError: the result cannot be written.
        RegistryError: there is no champion.
    """
    head(source)
    if output.exists() and output.samefile(source):
        raise DataError(f"{output} is the input itself", "Name another output with -o.")
    version, scorer = champion(settings)
    check_columns(columns(source), str(source), scorer.columns, extra=True)
    rows = flagged = 0
    with (
        written_whole(output) as part,
        writer(part, output.suffix == ".parquet") as write,
        ThreadPoolExecutor(1) as pool,
    ):
        pending = None
        for frame in ahead(chunks(source, scorer.columns)):
            check_numbers(frame, str(source), first=rows)
            table = scored(frame, scorer, version)
            if pending:
                pending.result()
            pending = pool.submit(write, table)
            rows += len(frame)
            flagged += int(np.sum(table["decision"].to_numpy()))
            progress(rows)
        if pending is None:
            raise DataError(f"{source} has a header and no rows", "Give it some transactions.")
        pending.result()
    return Scored(rows, flagged, version, scorer.threshold, str(output))
