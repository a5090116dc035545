"""The filter `data_file_problem`: a quick check of a data file before the installation."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

COLUMNS = ["Time", *(f"V{i}" for i in range(1, 29)), "Amount", "Class"]


def data_file_problem(name: str) -> str:
    """Return a sentence that says what is wrong with the file, or nothing; `fraud data push` looks at every row.

    name: a CSV, gzipped CSV or Parquet file; empty where there is none to check.
    """
    path = Path(name).expanduser()
    if not name or (path.suffix == ".parquet" and path.is_file()):
        return ""
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            rows = csv.reader(file)
            header, first = next(rows, []), next(rows, [])
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        return f"FRAUD_DATA is {name}, which cannot be read ({error}): name a CSV, a gzipped CSV or a Parquet file."
    if not header:
        return f"FRAUD_DATA is {name}, which is empty: name Kaggle's creditcard.csv, or leave FRAUD_DATA away."
    if missing := [column for column in COLUMNS if column not in header]:
        lacks = f"FRAUD_DATA is {name}, which lacks the columns {', '.join(missing)}"
        return f"{lacks}: name a file with {', '.join(COLUMNS)}."
    if not first:
        return f"FRAUD_DATA is {name}, which has a header and no rows: name a file with transactions in it."
    return ""


class FilterModule:
    """The filters of this file, for Ansible."""

    def filters(self) -> dict[str, Callable[[str], str]]:
        """Return the filters by name."""
        return {"data_file_problem": data_file_problem}
