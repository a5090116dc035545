"""Let a version prove itself through its socket, before a client sees it: its input example, and logged requests."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from trackbox_serving.follower.errors import Refused, sentence
from trackbox_serving.follower.unix import ask

# Rows of a request that replays logged ones, and how far two scores may differ that count as the same.
CHUNK, TOLERANCE = 500, 1e-9
# How a request's body may begin, by MLflow's protocol.
FORMS = ("dataframe_split", "dataframe_records", "inputs", "instances")


@dataclass(frozen=True)
class Comparison:
    """How a candidate answers rows of the log. changed: decisions that differ from the live version's."""

    version: str
    against: str
    rows: int
    changed: int

    def __str__(self) -> str:
        return (
            f"Of {self.rows:,} real rows {self.changed:,} decisions change from version {self.against} to "
            f"version {self.version}."
        )


def rows_of(example: Mapping[str, Any]) -> int:
    """Return how many rows a request's body has. Refused: it is of no form of MLflow's."""
    form = next((name for name in FORMS if name in example), None)
    value: Any = example[form] if form else None
    if form == "dataframe_split" and isinstance(value, Mapping):
        value = value.get("data")
    elif isinstance(value, Mapping) and value:
        value = next(iter(value.values()))
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise Refused("The model's input example is of no form of MLflow's protocol.")
    return len(value)


def predictions(answer: bytes) -> list[Any]:
    """Return the predictions in an answer, one for each row. Refused: there are none."""
    try:
        found = json.loads(answer)["predictions"]
    except (ValueError, KeyError, TypeError) as error:
        raise Refused("The answer has no predictions.") from error
    if isinstance(found, Mapping):
        # By column: turned into rows.
        columns = list(found.values())
        if not columns or any(not isinstance(column, list) or len(column) != len(columns[0]) for column in columns):
            raise Refused("The predictions have columns of several lengths.")
        return [list(row) for row in zip(*columns, strict=True)]
    if not isinstance(found, list):
        raise Refused("The predictions are no list.")
    return found


def numbers(row: Any) -> list[Any]:
    """Return the values of one prediction, in one list."""
    if isinstance(row, Mapping):
        row = list(row.values())
    return [value for part in row for value in numbers(part)] if isinstance(row, list) else [row]


def check(found: list[Any], rows: int) -> None:
    """Refuse predictions of another number of rows, of several widths, or with a value that is no finite number."""
    if len(found) != rows:
        raise Refused(f"The model answers {rows} rows with {len(found)} predictions.")
    widths = {len(numbers(row)) for row in found}
    if len(widths) > 1:
        raise Refused("The predictions have several widths.")
    for row in found:
        for value in numbers(row):
            if value is None or (isinstance(value, float) and not math.isfinite(value)):
                raise Refused("The model answers with a value that is no finite number.")


def score(socket: Path, version: str, body: Any, seconds: float) -> list[Any]:
    """Return the predictions for a request's body. Refused: the version fails, or another one answers."""
    try:
        answer = ask(socket, "/invocations", body, seconds)
    except (OSError, HTTPException) as error:
        raise Refused(f"The version does not answer a request: {sentence(error, 120)}") from error
    if answer.status != 200:
        raise Refused(
            f"The version answers {answer.status}: {sentence(answer.body[:400].decode(errors='replace'), 200)}"
        )
    if answer.version != version:
        raise Refused(f"Version {sentence(answer.version, 20) or 'without a number'} answers at its socket.")
    return predictions(answer.body)


def example(socket: Path, version: str, folder: Path, seconds: float) -> None:
    """Let a version score the model's input example. Refused: it does not do so as it should."""
    try:
        body = json.loads((folder / "serving_input_example.json").read_text())
        rows = rows_of(body)
    except (OSError, ValueError, TypeError) as error:
        raise Refused(f"The model's input example cannot be read: {sentence(error, 120)}") from error
    if not rows:
        raise Refused("The model's input example has no rows.")
    check(score(socket, version, body, seconds), rows)


def decisions(found: list[Any], threshold: float | None) -> list[Any]:
    """Return a decision for each prediction: whether its last value reaches the threshold; without one, the value."""
    last = [numbers(row)[-1] for row in found]
    if threshold is None or not all(isinstance(value, (int, float)) for value in last):
        return last
    return [value >= threshold for value in last]


def changed(ours: Any, theirs: Any) -> bool:
    """Return whether two decisions differ."""
    if isinstance(ours, float) and isinstance(theirs, float):
        return not math.isclose(ours, theirs, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(ours != theirs)


@dataclass(frozen=True)
class Scored:
    """A version that scores: its number, its socket, and the score from which on it decides for 1."""

    version: str
    socket: Path
    threshold: float | None


def compare(candidate: Scored, live: Scored, rows: Mapping[str, Any], seconds: float) -> Comparison | None:
    """Let both versions score the same rows; None where the live one does not answer them either.

    rows: as `dataframe_split` has them. Refused: the candidate fails on rows that the live version scores.
    """
    count = differ = 0
    for first in range(0, len(rows["data"]), CHUNK):
        part = {"columns": rows["columns"], "data": rows["data"][first : first + CHUNK]}
        body = {"dataframe_split": part}
        try:
            before = score(live.socket, live.version, body, seconds)
        except Refused:
            return None
        try:
            after = score(candidate.socket, candidate.version, body, seconds)
            check(after, len(part["data"]))
        except Refused as error:
            raise Refused(f"The version fails on rows that version {live.version} scores. {error}") from error
        pairs = zip(decisions(after, candidate.threshold), decisions(before, live.threshold), strict=True)
        differ += sum(changed(*pair) for pair in pairs)
        count += len(part["data"])
    return Comparison(candidate.version, live.version, count, differ) if count else None
