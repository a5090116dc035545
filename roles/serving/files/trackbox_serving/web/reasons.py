"""Explain why MLflow refused a body, in one sentence without the caller's data. MLflow's message may contain the data.

The sentence may name columns of the signature, and the number of rows or columns.
"""

from __future__ import annotations

import io
import json
from typing import Any

from trackbox_serving.bodies.arrow_rows import PARQUET
from trackbox_serving.models.scorer import Column

FORMATS = ("dataframe_split", "dataframe_records", "inputs", "instances")
UNKNOWN_TYPE = (
    "The content type must be application/json, text/csv, application/vnd.apache.parquet,"
    " application/vnd.apache.arrow.stream or application/vnd.apache.arrow.file, in UTF-8."
)
MODEL = "The model does not take these values: look for missing, infinite and too large ones."
NUMBERS = ("double", "float", "long", "integer")


def sentence(body: bytes, kind: str, parsed: bool, columns: list[Column]) -> str:
    """Return why MLflow refused a body.

    Args:
        body: refused body.
        kind: content type of the body.
        parsed: whether MLflow parsed the body and called the model.
        columns: columns of the signature.

    """
    try:
        if kind.startswith("application/json"):
            return json_reason(body, parsed, columns)
        given = table_columns(body, kind)
    except Exception:
        given = None
    if given is None:
        return f"The body cannot be read as {'Parquet' if kind == PARQUET else 'CSV in UTF-8 with a line of names'}."
    return missing(given, columns) or (MODEL if parsed else "A column of numbers has a value that is no number.")


def table_columns(body: bytes, kind: str) -> list[str]:
    """Return the column names of a Parquet or CSV body. If it cannot be read, any exception may be raised."""
    if kind == PARQUET:
        import pyarrow.parquet as pq

        names: list[str] = pq.read_schema(io.BytesIO(body)).names
        return names
    import pandas as pd

    return list(pd.read_csv(io.StringIO(body.decode()), nrows=0).columns)


def json_reason(body: bytes, parsed: bool, columns: list[Column]) -> str:
    """Return why MLflow refused a JSON body."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return "The body is no valid JSON, or nested too deeply."
    found = [name for name in FORMATS if isinstance(document, dict) and name in document]
    if len(found) != 1:
        return f"The body must be a JSON object with exactly one of {', '.join(FORMATS)}."
    [name] = found
    value = document[name]
    rows = rows_of(name, value)
    form = f"{name} has not the form that MLflow documents."
    if rows is None:
        return form
    if reason := missing([str(key) for row in rows[:1] for key in row], columns) if rows else "":
        return reason
    for number, row in enumerate(rows):
        for column in columns:
            if column.kind in NUMBERS and column.name in row and not numeric(row[column.name]):
                return f"Column {column.name} has no number in row {number + 1}."
    return MODEL if parsed else form


def rows_of(name: str, value: Any) -> list[dict[str, Any]] | None:
    """Return the rows of a document as dictionaries, or None if it has none of the usual forms."""
    if name == "dataframe_split" and isinstance(value, dict):
        columns, data = value.get("columns"), value.get("data")
        if isinstance(columns, list) and isinstance(data, list) and all(isinstance(row, list) for row in data):
            rows = [dict(zip(map(str, columns), row, strict=False)) for row in data]
            return rows or [dict.fromkeys(map(str, columns))]
    if name == "inputs" and isinstance(value, dict):
        lists = {key: one if isinstance(one, list) else [one] for key, one in value.items()}
        return [{key: one[i] for key, one in lists.items() if i < len(one)} for i in range(longest(lists))] or [{}]
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return value or [{}]
    return None


def longest(lists: dict[str, list[Any]]) -> int:
    """Return the number of values in the longest column."""
    return max(map(len, lists.values()), default=0)


def numeric(value: Any) -> bool:
    """Return whether a value is missing, a number, or a text that contains a number."""
    try:
        float(0 if value is None else value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def missing(given: list[str], columns: list[Column]) -> str:
    """Return an error message about missing columns of the signature, or an empty string."""
    names = [column.name for column in columns if column.required and column.name not in set(given)]
    if not names:
        return ""
    listed = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    return f"The body lacks {len(names)} of {len(columns)} columns: {listed}."
