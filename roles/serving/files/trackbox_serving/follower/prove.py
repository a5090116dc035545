"""Smoke-test a version through its socket before clients reach it: with its input example, and with logged rows."""

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

# The maximum number of logged rows in a replayed request, and the difference up to which two scores count as equal.
CHUNK, TOLERANCE = 500, 1e-9
# EXAMPLE_SCORES: file in a model's folder with the predictions that the model made for its input example when it was
# logged. The file has the format of a response. SAME: relative difference up to which a prediction counts as equal to
# the logged one. A different order of summation may cause such a difference.
EXAMPLE_SCORES, SAME = "example_scores.json", 1e-5
# The formats of MLflow's protocol. A request's body is a JSON object with one of these names as its key.
FORMS = ("dataframe_split", "dataframe_records", "inputs", "instances")


@dataclass(frozen=True)
class Comparison:
    """How a candidate scores logged rows. `changed` is the number of decisions that differ from the live version's."""

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
    """Return the number of rows in a request's body. Raise Refused if the body has none of MLflow's formats."""
    form = next((name for name in FORMS if name in example), None)
    value: Any = example[form] if form else None
    if form == "dataframe_split" and isinstance(value, Mapping):
        value = value.get("data")
    elif isinstance(value, Mapping) and value:
        value = next(iter(value.values()))
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise Refused("The model's input example has none of the formats of MLflow's protocol.")
    return len(value)


def predictions(answer: bytes) -> list[Any]:
    """Return the predictions in a response, one for each row. Raise Refused if there are none."""
    try:
        found = json.loads(answer)["predictions"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused("The answer has no predictions.") from error
    if isinstance(found, Mapping):
        # Turn predictions by column into rows.
        columns = list(found.values())
        if not columns or any(not isinstance(column, list) or len(column) != len(columns[0]) for column in columns):
            raise Refused("The predictions have columns of several lengths.")
        return [list(row) for row in zip(*columns, strict=True)]
    if not isinstance(found, list):
        raise Refused("The predictions are no list.")
    return found


def numbers(row: Any) -> list[Any]:
    """Return the values of one prediction as a flat list."""
    if isinstance(row, Mapping):
        row = list(row.values())
    return [value for part in row for value in numbers(part)] if isinstance(row, list) else [row]


def check(found: list[Any], rows: int) -> None:
    """Raise Refused for a wrong number of predictions, for different widths, or for a value that is not finite."""
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
    """Return a version's predictions for a body. Raise Refused if the version fails or another version answers."""
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
    """Let a version score the model's input example.

    Raise Refused if the version fails, or if its predictions are not valid or differ from those logged with the model.
    """
    try:
        body = json.loads((folder / "serving_input_example.json").read_text())
        rows = rows_of(body)
    except (OSError, ValueError, TypeError) as error:
        raise Refused(f"The model's input example cannot be read: {sentence(error, 120)}") from error
    if not rows:
        raise Refused("The model's input example has no rows.")
    found = score(socket, version, body, seconds)
    check(found, rows)
    if (folder / EXAMPLE_SCORES).exists():
        same_again(found, (folder / EXAMPLE_SCORES).read_bytes())


def same_again(found: list[Any], logged: bytes) -> None:
    """Raise Refused if the predictions differ from those that were logged with the model."""
    try:
        before = predictions(logged)
    except Refused as error:
        raise Refused(f"The model's file {EXAMPLE_SCORES} cannot be read: it has no predictions.") from error
    if len(found) != len(before):
        raise Refused(
            f"The model was logged with {len(before)} predictions for its input example, and gives {len(found)}."
        )
    for row, (now, then) in enumerate(zip(map(numbers, found), map(numbers, before), strict=True), start=1):
        if len(now) != len(then) or not all(map(alike, now, then)):
            raise Refused(
                f"The version scores row {row} of its input example differently from when it was logged: "
                f"{sentence(str(now), 80)} instead of {sentence(str(then), 80)}."
            )


def alike(now: Any, then: Any) -> bool:
    """Return whether two values of predictions are equal. Numbers may differ by SAME or TOLERANCE."""
    if isinstance(now, (int, float)) and isinstance(then, (int, float)):
        return math.isclose(now, then, rel_tol=SAME, abs_tol=TOLERANCE)
    return bool(now == then)


def decisions(found: list[Any], threshold: float | None) -> list[Any]:
    """Return for each prediction whether its last value reaches the threshold.

    If there is no threshold, or if a last value is not a number, return the last values instead.
    """
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
    """A version that scores rows: its number, its socket and its decision threshold."""

    version: str
    socket: Path
    threshold: float | None


def compare(candidate: Scored, live: Scored, rows: Mapping[str, Any], seconds: float) -> Comparison | None:
    """Let both versions score the same rows, and compare them. Return None if the live version fails on them.

    `rows` has the format `dataframe_split`. Raise Refused if the candidate fails on rows that the live version scores.
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
