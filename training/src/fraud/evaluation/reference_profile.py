"""The reference profile of a model: the distribution of each feature and of the scores.

The profile is saved with the model. When the model is served, Trackbox counts clients' rows in the
same bins and compares the shares with the profile. A profile contains edges and shares of bins, but
no rows.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

#: The version of the format, and the number of quantile bins of a column.
SCHEMA, BINS = 1, 10
#: Maximum size of the file in bytes, and maximum number of columns. Trackbox does not use
#: larger profiles.
MOST_BYTES, MOST_COLUMNS = 256 << 10, 200
#: Margin below the smallest and above the largest value, relative to the larger absolute value.
#: With the margin, a value that a client rounded to float32 stays in its bin.
MARGIN = 1e-6


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
    present = numbers[~np.isnan(numbers)]
    edges = bin_edges(present[np.isfinite(present)])
    counts = np.bincount(np.searchsorted(edges, present), minlength=len(edges) + 1)
    shares = counts / max(len(numbers), 1)
    missing = (len(numbers) - len(present)) / max(len(numbers), 1)
    return {
        "name": name, "rows": len(numbers), "edges": edges.tolist(), "below": float(shares[0]),
        "shares": shares[1:-1].tolist(), "above": float(shares[-1]), "missing": missing,
    }  # fmt: skip


def describe_columns(frame: pd.DataFrame) -> tuple[dict[str, Any], ...]:
    """The distribution of each column of a frame; see `describe_column`."""
    return tuple(
        describe_column(str(name), frame[name].to_numpy(np.float64, na_value=np.nan))
        for name in frame
    )


def reference_profile(
    columns: tuple[dict[str, Any], ...], scores: np.ndarray, threshold: float
) -> str:
    """The profile of a model as JSON.

    Args:
        columns: distribution of each feature, from `describe_columns`.
        scores: (n,) scores of rows on which the model was not fitted.
        threshold: rows with at least this score are flagged.

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
        },
        allow_nan=False,
    )
    if len(text.encode()) > MOST_BYTES:
        raise ValueError(f"the profile has more than {MOST_BYTES} bytes")
    return text
