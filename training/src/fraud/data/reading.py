"""Files of transactions: CSV, gzipped CSV or Parquet, told apart by their first bytes."""

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


def head(path: Path) -> bytes:
    """The first four bytes of a file that exists, may be read and is not empty.

    Raises:
        DataError: it does not, may not or is.

    """
    try:
        with path.open("rb") as file:
            first = file.read(4)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", "Check the path.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a directory", "Name a CSV or Parquet file.") from None
    except PermissionError:
        raise DataError(f"{path} may not be read", "Ask its owner, or use a copy.") from None
    if not first:
        raise DataError(f"{path} is empty", "Give it a header and some transactions.")
    return first


@contextmanager
def explained(path: Path, names: list[str] | None = None) -> Iterator[None]:
    """Turn what pyarrow says about a file with the columns `names` into one sentence."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        raise _explain(path, str(error), names or []) from error


def _explain(path: Path, said: str, names: list[str]) -> DataError:
    if re.search("runcated|end-of-stream|Unexpected end|magic bytes not found in footer", said):
        return DataError(f"{path} is cut short", "Copy or download it again.")
    found = re.search(r"CSV column #(\d+): (?:Row #(\d+): )?.*invalid value '(.*?)'", said)
    if found:
        column, row, value = found.groups()
        where = f"row {int(row) - 1}, " if row else ""
        name = names[int(column)] if names else f"number {int(column) + 1}"
        return DataError(
            f"{path}: {where}column {name} holds {value!r}, which is no number",
            "Every column is a number; correct or remove the row.",
        )
    first = said.splitlines()[0] if said else "unknown format"
    return DataError(f"{path} cannot be read ({first})", "It must be CSV or Parquet.")


@contextmanager
def open_csv(path: Path) -> Iterator[pa.NativeFile]:
    """A CSV file's bytes, unpacked if they are gzipped."""
    compression = "gzip" if head(path)[:2] == GZIP else None
    with pa.input_stream(str(path), compression=compression) as stream:
        yield stream


def csv_header(path: Path) -> list[str]:
    """The names in a CSV file's first line, without what quotes them."""
    with explained(path), open_csv(path) as stream:
        line = stream.read(65536).split(b"\n", 1)[0].decode("utf-8-sig")
    return [name.strip().strip('"') for name in line.strip().split(",")]


def csv_options(names: list[str], wanted: list[str], threads: bool = True) -> dict[str, object]:
    """Pyarrow's options: the wanted columns of a file with columns `names`, as float64.

    Empty cells become NaN; a block is about 8 MB.
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
    """Read a whole CSV file, gzipped or not, after a look at its header."""
    names = csv_header(path)
    check_columns(names, str(path))
    with explained(path, names):
        try:
            return _parse_csv(path, names, threads=True)
        except pa.ArrowInvalid:  # only without threads does pyarrow say which row it is
            return _parse_csv(path, names, threads=False)


def _parse_csv(path: Path, names: list[str], threads: bool) -> pd.DataFrame:
    with open_csv(path) as stream:
        table = csv.read_csv(stream, **csv_options(names, names, threads))
    frame: pd.DataFrame = table.to_pandas()
    return frame


def check_types(schema: Iterable[pa.Field], path: Path) -> None:
    """Raise DataError for a Parquet column that holds no numbers."""
    for field in schema:
        kind = field.type
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if not (number or pa.types.is_boolean(kind)):
            raise DataError(
                f"{path}: column {field.name} holds {kind}, not numbers",
                "Store every column as a number.",
            )


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a whole Parquet file after a look at its schema."""
    with explained(path):
        schema = pq.read_schema(path)
    check_columns(schema.names, str(path))
    check_types(schema, path)
    with explained(path):
        frame: pd.DataFrame = pq.read_table(path, columns=COLUMNS).to_pandas()
    return frame


def read(path: Path) -> pd.DataFrame:
    """Read a file of transactions with its labels, as it is; `schema.clean` does the rest.

    Returns:
        n rows, the columns of `COLUMNS`.

    Raises:
        DataError: the file or its columns are not what they should be.

    """
    return read_parquet(path) if head(path) == PARQUET else read_csv(path)
