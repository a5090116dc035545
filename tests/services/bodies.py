"""Bodies of requests for the scoring server: random rows in each format, and malformed ones."""

from __future__ import annotations

import io
import json
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scoring import JSON

CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"
#: Request bodies contain this text, and no response may repeat it.
SECRET = "secret-8f3a"
Good = dict[str, tuple[bytes, str]]


def frame_of(rng: np.random.Generator, data: pd.DataFrame, missing: bool) -> pd.DataFrame:
    """Return random rows of `data`. At random, scale or round values, reorder columns, or insert NaN if `missing`."""
    rows = data.sample(int(rng.integers(1, 9)), random_state=int(rng.integers(2**31)))
    frame = rows.drop(columns=["Time", "Class"]).reset_index(drop=True)
    frame *= rng.choice([1, 1, 1e-9, 1e6])
    if rng.random() < 0.2:
        frame.iloc[:, rng.integers(29)] = frame.iloc[:, rng.integers(29)].round()
    if missing and rng.random() < 0.4:
        frame.iloc[rng.integers(len(frame)), rng.integers(29)] = np.nan
        if rng.random() < 0.3:
            frame.iloc[:, rng.integers(29)] = np.nan
    if rng.random() < 0.4:
        frame = frame[list(rng.permutation(frame.columns))]
    return frame


def cells(frame: pd.DataFrame, rng: np.random.Generator) -> list[list[Any]]:
    """Return the rows for JSON: NaN becomes null, and half of the calls write 1.0 as 1."""
    short = rng.random() < 0.5
    return [
        [None if math.isnan(cell) else int(cell) if short and cell.is_integer() else cell for cell in row]
        for row in frame.to_numpy().tolist()
    ]


def split(frame: pd.DataFrame, rng: np.random.Generator) -> bytes:
    document: dict[str, Any] = {"columns": list(frame.columns), "data": cells(frame, rng)}
    if rng.random() < 0.3:
        document["index"] = list(range(len(frame)))
    if rng.random() < 0.2:
        document["columns"].append("note")
        document["data"] = [[*row, SECRET] for row in document["data"]]
    return json.dumps({"dataframe_split": document}).encode()


def records(frame: pd.DataFrame, rng: np.random.Generator, key: str = "dataframe_records") -> bytes:
    rows = [dict(zip(frame.columns, row, strict=True)) for row in cells(frame, rng)]
    if key == "dataframe_records" and rng.random() < 0.2:
        rows[0]["note"] = SECRET
    return json.dumps({key: rows}).encode()


def instances(frame: pd.DataFrame, rng: np.random.Generator) -> bytes:
    return records(frame, rng, "instances")


def inputs(frame: pd.DataFrame, rng: np.random.Generator) -> bytes:
    rows = cells(frame, rng)
    columns = {name: [row[i] for row in rows] for i, name in enumerate(frame.columns)}
    return json.dumps({"inputs": columns}).encode()


def csv(frame: pd.DataFrame, rng: np.random.Generator) -> bytes:
    return frame.to_csv(index=False).encode()


def parquet(frame: pd.DataFrame, rng: np.random.Generator) -> bytes:
    written: bytes = frame.to_parquet()
    return written


FORMATS: dict[str, tuple[Callable[[pd.DataFrame, np.random.Generator], bytes], str]] = {
    "dataframe_split": (split, JSON),
    "dataframe_records": (records, JSON),
    "inputs": (inputs, "application/json; charset=utf-8"),
    "instances": (instances, JSON),
    "CSV": (csv, CSV),
    "Parquet": (parquet, PARQUET),
}


#: Values with which tests replace a number in a body.
ODD: list[Any] = [SECRET, "1.5", "", True, None, [], [1, 2], {}, {"a": SECRET}, 10**30, -(2**70), math.nan, math.inf]
ODD += [1e39, -1e308, 2**53 + 1]
LITERALS = [b"{}", b"[]", b'"secret-8f3a"', b"{" * 3000, b"[" * 200_000, b"NaN", b'{"inputs": 1e999}', b"\xff"]


def malformed(rng: random.Random, good: Good) -> tuple[bytes, str]:
    """Choose a valid body, change it at random so that MLflow may reject it, and return it with its content type.

    good: a valid body of each format, with its content type.
    """
    form = rng.choice(sorted(good))
    body, kind = good[form]
    if rng.random() < 0.25:
        return any_bytes(rng, body, kind)
    if kind != JSON:
        return odd_table(rng, pd.read_csv(io.BytesIO(good["CSV"][0])), kind)
    document = json.loads(body)
    change = rng.choice([odd_outside, odd_inside, odd_inside, odd_inside])
    return (rng.choice(LITERALS) if rng.random() < 0.05 else json.dumps(change(rng, document)).encode()), JSON


def any_bytes(rng: random.Random, body: bytes, kind: str) -> tuple[bytes, str]:
    """Truncate the body, change its bytes, or return it with another content type."""
    at = rng.randrange(len(body))
    return rng.choice(
        [
            (body[:at], kind),
            (body[:at] + SECRET.encode() + body[at:], kind),
            (body[:at] + b"\xff\xfe" + body[at + 2 :], kind),
            (body, rng.choice([CSV, JSON, PARQUET, "text/plain", SECRET, "", "application/json; charset=latin-1"])),
            (body, f"{kind}; {SECRET}=1"),
            (b"", kind),
        ]
    )


def odd_table(rng: random.Random, frame: pd.DataFrame, kind: str) -> tuple[bytes, str]:
    """Change one column of the table, and return the table as CSV or Parquet."""
    name = rng.choice(list(frame.columns))
    changed = rng.choice(
        [
            frame.drop(columns=name),
            frame.assign(**{name: rng.choice([SECRET, 5, True, math.inf, 1e39, [None] * len(frame)])}),
            frame.assign(**{name: rng.choice([SECRET, 5, True, math.inf, 1e39, [None] * len(frame)])}),
            frame.astype({name: np.float32}),
            frame.set_index(name),
            frame.iloc[:0],
            frame.assign(extra=SECRET),
        ]
    )
    written = changed.to_csv(index=changed.index.name is not None).encode() if kind == CSV else changed.to_parquet()
    return written, kind


def odd_outside(rng: random.Random, document: dict[str, Any]) -> Any:
    """Change the outer keys of the document, but not its rows."""
    [(key, value)] = document.items()
    other = rng.choice(["params", "signature_name", "instances", "inputs", "dataframe_split", SECRET])
    return rng.choice(
        [
            {key: rng.choice(ODD)},
            {rng.choice(["rows", "inputs", "instances", "dataframe_split", "dataframe_records"]): value},
            {key: value, other: rng.choice(ODD)},
            [document],
            rng.choice(ODD),
        ]
    )


def odd_inside(rng: random.Random, document: dict[str, Any]) -> Any:
    """Change the rows of a document."""
    [(key, value)] = document.items()
    {"dataframe_split": odd_split, "inputs": odd_inputs}.get(key, odd_records)(rng, value, rng.choice(["V3", "Amount"]))
    return document


def odd_split(rng: random.Random, value: Any, name: str) -> None:
    """Change a cell, a row, a column name or the index of a `dataframe_split` document."""
    at = value["columns"].index(name)
    row = rng.choice(value["data"])
    changes: list[Callable[[], Any]] = [
        lambda: row.__setitem__(at, rng.choice(ODD)),
        lambda: row.__setitem__(at, rng.choice(ODD)),
        row.pop,
        lambda: row.append(1.0),
        lambda: value.update(data=[]),
        lambda: value.pop("columns"),
        lambda: value.update(index=[rng.choice(ODD)]),
        lambda: value["columns"].append(name),
        lambda: [one.pop(at) for one in (value["columns"], *value["data"])],
        lambda: value["columns"].__setitem__(at, rng.choice([*ODD, "V4", 7])),
    ]
    rng.choice(changes)()


def odd_inputs(rng: random.Random, value: Any, name: str) -> None:
    """Change the values or the name of one column of an `inputs` document."""
    column = value[name]
    changes: list[Callable[[], Any]] = [
        lambda: column.__setitem__(0, rng.choice(ODD)),
        lambda: column.__setitem__(0, rng.choice(ODD)),
        lambda: value.update({name: rng.choice([rng.choice(ODD), [], column * 2, column[0], [column]])}),
        lambda: value.pop(name),
        lambda: value.update({SECRET: value.pop(name)}),
        lambda: value.update({SECRET: rng.choice(ODD)}),
    ]
    rng.choice(changes)()


def odd_records(rng: random.Random, value: Any, name: str) -> None:
    """Change one row of a document of records."""
    row = rng.choice(value)
    changes: list[Callable[[], Any]] = [
        lambda: row.update({name: rng.choice(ODD)}),
        lambda: row.update({name: rng.choice(ODD)}),
        lambda: value.append(rng.choice(ODD)),
        lambda: row.pop(name),
        lambda: row.update({SECRET: row.pop(name)}),
        lambda: row.update({SECRET: rng.choice(ODD)}),
    ]
    rng.choice(changes)()
