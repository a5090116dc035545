"""Read files of transactions: CSV, gzipped CSV or Parquet, recognised by their first bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from fraud.data.schema import COLUMNS, check_columns
from fraud.errors import DataError

GZIP, PARQUET = b"\x1f\x8b", b"PAR1"


def first_bytes(path: Path) -> bytes:
    """The first four bytes of a file.

    Raises:
        DataError: the file does not exist, may not be read, is a directory or is empty.

    """
    try:
        with path.open("rb") as file:
            found = file.read(4)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", "Check the path.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a directory", "Name a CSV or Parquet file.") from None
    except PermissionError:
        raise DataError(f"{path} is not readable", "Ask its owner, or use a copy.") from None
    if not found:
        raise DataError(f"{path} is empty", "Add a header and some transactions.")
    return found


@contextmanager
def as_data_errors(path: Path, names: list[str] | None = None) -> Iterator[None]:
    """Turn errors that pyarrow raises in the block into DataError.

    Args:
        path: path of the file, for error messages.
        names: names of the file's columns, if they are known, for error messages.

    """
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        raise _data_error(path, str(error), names or []) from error


def _data_error(path: Path, message: str, names: list[str]) -> DataError:
    if re.search("runcated|end-of-stream|Unexpected end|magic bytes not found in footer", message):
        return DataError(f"{path} is cut short", "Copy or download it again.")
    found = re.search(r"CSV column #(\d+): (?:Row #(\d+): )?.*invalid value '(.*?)'", message)
    if found:
        column, row, value = found.groups()
        where = f"row {int(row) - 1}, " if row else ""
        name = names[int(column)] if names else f"number {int(column) + 1}"
        return DataError(
            f"{path}: {where}column {name} holds {value!r}, which is no number",
            "Every column is a number; correct or remove the row.",
        )
    first = message.splitlines()[0] if message else "unknown format"
    return DataError(f"{path} cannot be read ({first})", "It must be CSV or Parquet.")


@contextmanager
def open_csv(path: Path) -> Iterator[pa.NativeFile]:
    """Open a CSV file for reading; a gzipped file is decompressed."""
    compression = "gzip" if first_bytes(path)[:2] == GZIP else None
    with pa.input_stream(str(path), compression=compression) as stream:
        yield stream


def csv_header(path: Path) -> list[str]:
    """The names in a CSV file's first line, without quotes."""
    with as_data_errors(path), open_csv(path) as stream:
        line = stream.read(65536).split(b"\n", 1)[0].decode("utf-8-sig")
    return [name.strip().strip('"') for name in line.strip().split(",")]


def csv_options(names: list[str], wanted: list[str], threads: bool = True) -> dict[str, object]:
    """Pyarrow's options for reading the wanted columns as float64 in blocks of about 8 MB.

    Empty cells become NaN.

    Args:
        names: names of all columns of the file, in order.
        wanted: names of the columns to read.
        threads: whether pyarrow uses several threads.

    """
    return {
        "read_options": csv.ReadOptions(
            column_names=names, skip_rows=1, block_size=1 << 23, use_threads=threads
        ),
        "convert_options": csv.ConvertOptions(
            column_types={name: pa.float64() for name in wanted}, include_columns=wanted
        ),
    }


def read_csv(path: Path) -> pd.DataFrame:
    """Check the header of a CSV file, gzipped or not, and read the file."""
    names = csv_header(path)
    check_columns(names, str(path))
    with as_data_errors(path, names):
        try:
            return _parse_csv(path, names, threads=True)
        except pa.ArrowInvalid:  # without threads, the error names the row
            return _parse_csv(path, names, threads=False)


def _parse_csv(path: Path, names: list[str], threads: bool) -> pd.DataFrame:
    with open_csv(path) as stream:
        table = csv.read_csv(stream, **csv_options(names, names, threads))
    frame: pd.DataFrame = table.to_pandas()
    return frame


def check_types(schema: Iterable[pa.Field], path: Path) -> None:
    """Raise DataError if a Parquet column is not numeric."""
    for field in schema:
        kind = field.type
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if not (number or pa.types.is_boolean(kind)):
            raise DataError(
                f"{path}: column {field.name} holds {kind}, not numbers",
                "Store every column as a number.",
            )


def read_parquet(path: Path) -> pd.DataFrame:
    """Check the schema of a Parquet file and read the file."""
    with as_data_errors(path):
        schema = pq.read_schema(path)
    check_columns(schema.names, str(path))
    check_types(schema, path)
    with as_data_errors(path):
        frame: pd.DataFrame = pq.read_table(path, columns=COLUMNS).to_pandas()
    return frame


def read(path: Path) -> pd.DataFrame:
    """Read a file of labelled transactions. The values are not checked: use `schema.clean`.

    Returns:
        n rows with the columns of `COLUMNS`, in any order.

    Raises:
        DataError: the file cannot be read, or its columns do not match the schema.

    """
    return read_parquet(path) if first_bytes(path) == PARQUET else read_csv(path)
