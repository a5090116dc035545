"""The reference profile of a model: the distribution of each feature and of the scores.

The profile is saved with the model. When the model is served, Trackbox counts clients' rows in the
same bins and compares the shares with the profile. A profile contains edges and shares of bins, the
calibration of the scores, and no rows.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from fraud.evaluation.calibration import Calibration
from fraud.evaluation.stability import Reference

#: The version of the format, and the number of quantile bins of a column.
SCHEMA, BINS = 1, 10
#: Maximum size of the file in bytes, and maximum number of columns. Trackbox does not use
#: larger profiles.
MOST_BYTES, MOST_COLUMNS = 256 << 10, 200
#: Margin below the smallest and above the largest value, relative to the larger absolute value.
#: With the margin, a value that a client rounded to float32 stays in its bin.
MARGIN = 1e-6
#: What a profile that is read may have: the difference of a sum of shares from 1, numbers, rows.
TOLERANCE, LARGEST, MOST_ROWS = 1e-6, sys.float_info.max, 10**12
NUMBERS = ("rows", "frauds")


@dataclass(frozen=True)
class Profile:
    """A reference profile that was read.

    Attributes:
        columns: distribution of each feature.
        score: distribution of the scores.
        flagged: share of flagged rows.
        calibration: calibration of the scores; None in profiles of other packages.

    """

    columns: tuple[Reference, ...]
    score: Reference
    flagged: float
    calibration: Calibration | None = None

    @property
    def references(self) -> tuple[Reference, ...]:
        """The distributions of the features, and then that of the scores."""
        return (*self.columns, self.score)


def bin_edges(values: np.ndarray) -> np.ndarray:
    """The edges of bins with nearly equal shares of values: `BINS` bins if no value is frequent.

    An inner edge lies half-way between two different values, so equal values are in one bin, and no
    bin is empty. A value that is more frequent than a bin should be, such as 0 in a column that is
    mostly 0, has a bin of its own. There are at most 2 * `BINS` bins.

    Args:
        values: (n,) finite values.

    Returns:
        (k,) edges in ascending order, k >= 2. A bin contains its upper edge. If n is 0, the only
        edge is 0.

    """
    if not len(values):
        return np.zeros(1)
    ordered = np.sort(values)
    low, high = ordered[0], ordered[-1]
    positions = np.ceil(len(ordered) * np.arange(1, BINS) / BINS).astype(int) - 1
    last = np.unique(np.append(ordered[positions], high))  # the last value of each bin
    begin, end = (np.searchsorted(ordered, last, side=side) for side in ("left", "right"))
    frequent = (end - begin > len(ordered) / BINS) & (begin > 0)
    last = np.unique(np.concatenate([last, ordered[begin[frequent] - 1]]))
    last = last[last < high]
    following = ordered[np.searchsorted(ordered, last, side="right")]
    inner = np.clip(last / 2 + following / 2, last, np.nextafter(following, -np.inf))
    margin = MARGIN * max(abs(low), abs(high))
    outer = np.array([min(low - margin, np.nextafter(low, -np.inf)), high + margin])
    limit = np.finfo(np.float64).max
    edges: np.ndarray = np.unique(np.clip(np.concatenate([outer, inner]), -limit, limit))
    return edges


def describe_column(name: str, values: np.ndarray) -> dict[str, Any]:
    """The distribution of a column.

    Args:
        name: name of the column.
        values: (n,) numbers or booleans. NaN is a missing value; infinite values are out of range.

    Returns:
        `name`; `rows`, which is n; `edges`, (k,); `shares`, the (k - 1,) shares of the bins between
        the edges; `below` and `above`, the shares of values out of the range of the edges;
        `missing`, the share of missing values. All shares are shares of n, and add up to 1.

    """
    numbers = np.asarray(values, dtype=np.float64)
    edges = bin_edges(numbers[np.isfinite(numbers)])
    below, *shares, above, missing = (count_bins(edges, numbers) / max(len(numbers), 1)).tolist()
    return {
        "name": name, "rows": len(numbers), "edges": edges.tolist(), "below": below,
        "shares": shares, "above": above, "missing": missing,
    }  # fmt: skip


def count_bins(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(k + 2,) number of the (n,) values below, between and above (k,) edges, and of NaN."""
    present = values[~np.isnan(values)]
    counts = np.bincount(np.searchsorted(edges, present), minlength=len(edges) + 1)
    return np.append(counts, len(values) - len(present))


def describe_columns(frame: pd.DataFrame) -> tuple[dict[str, Any], ...]:
    """The distribution of each column of a frame; see `describe_column`."""
    return tuple(
        describe_column(str(name), frame[name].to_numpy(np.float64, na_value=np.nan))
        for name in frame
    )


def reference_profile(
    columns: tuple[dict[str, Any], ...],
    scores: np.ndarray,
    threshold: float,
    calibration: Calibration | None = None,
) -> str:
    """The profile of a model as JSON.

    Args:
        columns: distribution of each feature, from `describe_columns`.
        scores: (n,) scores of rows on which the model was not fitted.
        threshold: rows with at least this score are flagged.
        calibration: calibration of the scores, if the labels of such rows are known.

    Raises:
        ValueError: there are more columns or bytes than the maximum, or no scores.

    """
    if not len(scores) or len(columns) > MOST_COLUMNS:
        raise ValueError(f"{len(columns)} columns and {len(scores)} scores have no profile")
    text = json.dumps(
        {
            "schema": SCHEMA,
            "columns": columns,
            "score": describe_column("score", scores),
            "flagged": float(np.mean(scores >= threshold)),
            **({"calibration": asdict(calibration)} if calibration else {}),
        },
        allow_nan=False,
    )
    if len(text.encode()) > MOST_BYTES:
        raise ValueError(f"the profile has more than {MOST_BYTES} bytes")
    return text


def read_profile(text: bytes) -> Profile:
    """Read a profile that `reference_profile` or another package wrote.

    Raises:
        ValueError: it is larger than `MOST_BYTES`, is not of the schema `SCHEMA`, or has a value
            that no profile has. The message says what the file is or has, without a full stop.

    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not JSON") from error
    try:
        if given["schema"] != SCHEMA:
            raise ValueError(f"it does not have the schema {SCHEMA}")
        columns = tuple(_reference(column) for column in given["columns"])
        score = _reference(given["score"])
        [flagged] = _numbers([given["flagged"]], "its flagged share", 0, 1)
        calibrated = given.get("calibration")
        calibration = None if calibrated is None else _calibration(calibrated)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("its fields are not those of a profile") from error
    if len({each.name for each in columns}) != len(columns):
        raise ValueError("it has two columns of one name")
    return Profile(columns, score, flagged, calibration)


def _reference(given: dict[str, Any]) -> Reference:
    if not isinstance(name := given["name"], str):
        raise TypeError("a name is a string")
    column = f"its column {name!r}"
    [rows] = _whole([given["rows"]], f"the rows of {column}", 1)
    edges = _numbers(given["edges"], f"an edge of {column}")
    if not edges or any(low >= high for low, high in pairwise(edges)):
        raise ValueError(f"{column} has edges that do not ascend")
    inside = _list(given["shares"])
    if len(inside) != len(edges) - 1:
        raise ValueError(f"{column} has {len(inside)} shares for {len(edges) - 1} bins")
    shares = _numbers(
        [given["below"], *inside, given["above"], given["missing"]], f"a share of {column}", 0, 1
    )
    if abs(math.fsum(shares) - 1) > TOLERANCE:
        raise ValueError(f"{column} has shares that do not add up to 1")
    return Reference(name, rows, edges, shares)


def _calibration(given: dict[str, Any]) -> Calibration:
    edges = _numbers(given["edges"], "an edge of its calibration")
    [threshold] = _numbers([given["threshold"]], "the threshold of its calibration")
    rows, frauds = (_whole(given[key], f"the {key} of its calibration") for key in NUMBERS)
    if not len(rows) == len(frauds) == len(edges) + 1 or threshold not in edges:
        raise ValueError("its calibration has edges that do not fit its rows")
    if list(edges) != sorted(edges):
        raise ValueError("its calibration has edges that do not ascend")
    if any(found > all_ for found, all_ in zip(frauds, rows, strict=True)):
        raise ValueError("its calibration has more frauds than rows")
    return Calibration(threshold, edges, rows, frauds)


def _list(given: Any) -> list[Any]:
    if not isinstance(given, list):
        raise TypeError("not a list")
    return given


def _numbers(
    given: Any, what: str, least: float = -math.inf, most: float = math.inf
) -> tuple[float, ...]:
    """The finite numbers of a list. `what` is the begin of the error: one that is out of range."""
    values = _list(given)
    for value in values:
        # JSON as Python reads it may have NaN, infinity, and integers larger than any float.
        if type(value) not in (int, float) or not least <= value <= most or abs(value) > LARGEST:
            raise ValueError(f"{what} is {repr(value)[:40]}, which is no such number")
    return tuple(map(float, values))


def _whole(given: Any, what: str, least: int = 0) -> tuple[int, ...]:
    """The numbers of rows of a list. `what` is the begin of the error."""
    values = _list(given)
    if any(type(value) is not int or not least <= value <= MOST_ROWS for value in values):
        raise ValueError(f"{what} must be whole numbers of at least {least}")
    return tuple(values)
