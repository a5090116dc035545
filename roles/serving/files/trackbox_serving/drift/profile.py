"""Read a model's reference profile from the file reference_profile.json, which `fraud` writes.

A model may come from anyone, so the file is not trusted. Its size is limited, and each field is checked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from trackbox_serving.drift.stability import Reference
from trackbox_serving.files import read_regular
from trackbox_serving.log.column_names import logged

FILE, SCHEMA = "reference_profile.json", 1
# The maximum numbers of bytes of the file, of columns, of edges of a column, and of characters of a column's name.
MOST_BYTES, MOST_COLUMNS, MOST_EDGES, MOST_CHARACTERS = 256 << 10, 200, 64, 200
MOST_ROWS = 10**12
FIELDS = {"name", "rows", "edges", "below", "shares", "above", "missing"}


class ProfileError(ValueError):
    """The profile cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class Profile:
    """The reference of each column and of the scores, and the share of flagged rows."""

    columns: tuple[Reference, ...]
    score: Reference
    flagged: float

    @property
    def references(self) -> tuple[Reference, ...]:
        """The references of the columns, and then that of the scores."""
        return (*self.columns, self.score)


def read(model: Path) -> Profile | None:
    """Return the profile in a model's folder, or None if there is none. Raise ProfileError if it cannot be used."""
    try:
        text = read_regular(model / FILE, MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ProfileError(f"{FILE} cannot be opened: {type(error).__name__}.") from error
    if len(text) > MOST_BYTES:
        raise ProfileError(f"{FILE} has more than {MOST_BYTES} bytes.")
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"{FILE} is no JSON.") from error
    return parse(given)


def parse(given: Any) -> Profile:
    """Check a decoded profile. Raise ProfileError if it is malformed."""
    if not isinstance(given, dict) or given.get("schema") != SCHEMA:
        raise ProfileError(f"{FILE} does not have the schema {SCHEMA}.")
    columns = given.get("columns")
    if not isinstance(columns, list) or not 1 <= len(columns) <= MOST_COLUMNS:
        raise ProfileError(f"{FILE} must have a list of 1 to {MOST_COLUMNS} columns.")
    found = tuple(reference(column, f"columns[{number}]") for number, column in enumerate(columns))
    # Two columns must not get the same name in the metrics, where a column like `score` is renamed.
    if len({logged(column.name) for column in found}) != len(found):
        raise ProfileError(f"{FILE} has two columns of one name.")
    flagged: Any = given.get("flagged")
    if not numbers([flagged], 0, 1):
        raise ProfileError(f"{FILE}: flagged must be a share.")
    return Profile(found, reference(given.get("score"), "score"), float(flagged))


def reference(given: Any, where: str) -> Reference:
    """Check the description of a column. Raise ProfileError if it is malformed; `where` is its place in the file."""
    if not isinstance(given, dict) or set(given) != FIELDS:
        raise ProfileError(f"{FILE}: {where} must have the fields {', '.join(sorted(FIELDS))}.")
    name, rows, edges, inside = (given[key] for key in ("name", "rows", "edges", "shares"))
    if not isinstance(name, str) or not 0 < len(name) <= MOST_CHARACTERS or not name.isprintable():
        raise ProfileError(f"{FILE}: the name of {where} must be 1 to {MOST_CHARACTERS} printable characters.")
    if type(rows) is not int or not 1 <= rows <= MOST_ROWS:
        raise ProfileError(f"{FILE}: rows of {where} must be a number of rows.")
    if not isinstance(edges, list) or not 1 <= len(edges) <= MOST_EDGES or not numbers(edges):
        raise ProfileError(f"{FILE}: edges of {where} must be 1 to {MOST_EDGES} finite numbers.")
    if any(low >= high for low, high in pairwise(map(float, edges))):
        raise ProfileError(f"{FILE}: edges of {where} must ascend.")
    if not isinstance(inside, list) or len(inside) != len(edges) - 1:
        raise ProfileError(f"{FILE}: {where} must have one share for each bin between its edges.")
    shares = [given["below"], *inside, given["above"], given["missing"]]
    if not numbers(shares, 0, 1) or not math.isclose(math.fsum(shares), 1, abs_tol=1e-6):
        raise ProfileError(f"{FILE}: the shares of {where} must be shares that add up to 1.")
    return Reference(name, rows, tuple(map(float, edges)), tuple(map(float, shares)))


def numbers(values: Sequence[Any], least: float = -math.inf, most: float = math.inf) -> bool:
    """Return whether all values are finite numbers in a range."""
    try:
        return all(type(v) in (int, float) and math.isfinite(v) and least <= v <= most for v in values)
    except OverflowError:
        return False
