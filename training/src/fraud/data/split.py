"""Split a data set into training, validation and test part; undersample the training part."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fraud.data.schema import FEATURES, LABEL, TIME
from fraud.errors import DataError
from fraud.types import Split

#: Shares of the training, validation and test part.
SHARES = (0.6, 0.2, 0.2)
#: Minimum number of frauds in each part. With fewer frauds, metrics are too noisy to rank models.
MIN_FRAUDS = 20


def by_time(frame: pd.DataFrame) -> pd.Series:
    """Assign each row to part 0 (first 60 % in time), 1 (next 20 %) or 2 (last 20 %).

    Rows with the same `Time` are assigned to the same part.
    """
    cuts = frame[TIME].quantile(np.cumsum(SHARES[:2])).to_numpy()
    return pd.Series(np.searchsorted(cuts, frame[TIME], side="right"), frame.index)


def at_random(frame: pd.DataFrame, seed: int) -> pd.Series:
    """Assign each row to part 0, 1 or 2 at random, with the same share of frauds in each part.

    Rows that differ only in `Time` and `Class` are the same payment. They are assigned to the same
    part, so that no test row is also a training row.
    """
    rng = np.random.default_rng(seed)
    group, _ = pd.factorize(pd.util.hash_pandas_object(frame[FEATURES], index=False))
    fraud = np.zeros(group.max() + 1, dtype=bool)
    fraud[group[frame[LABEL].to_numpy() == 1]] = True
    part = np.empty(len(fraud), dtype=np.int64)
    for label in (False, True):
        members = rng.permutation(np.flatnonzero(fraud == label))
        edges = np.round(np.cumsum(SHARES) * len(members)).astype(int)
        part[members] = np.searchsorted(edges, np.arange(len(members)), side="right")
    return pd.Series(part[group], frame.index)


def split(frame: pd.DataFrame, how: str, seed: int) -> Split:
    """Split a clean data set 60/20/20.

    Args:
        frame: rows ordered by `Time`.
        how: `time` or `random`.
        seed: random seed, used only by `random`.

    Raises:
        DataError: a part has fewer than `MIN_FRAUDS` frauds.

    """
    part = by_time(frame) if how == "time" else at_random(frame, seed)
    parts = [frame[part == number].reset_index(drop=True) for number in range(3)]
    for name, rows in zip(("training", "validation", "test"), parts, strict=True):
        frauds = int(rows[LABEL].sum())
        if frauds < MIN_FRAUDS:
            other = "--split random, or more data" if how == "time" else "more data"
            raise DataError(
                f"Split by {how}, the {name} part has {frauds} frauds; {MIN_FRAUDS} are needed",
                f"Try {other}.",
            )
    return Split(*parts)


def undersample(labels: pd.Series, share: float, seed: int) -> np.ndarray:
    """Choose all frauds and a random sample of the other rows.

    Args:
        labels: (n,) values 0 and 1, the labels of the training part.
        share: share of frauds among the chosen rows, above 0, at most 1.
        seed: random seed of the sample.

    Returns:
        Positions of the chosen rows in ascending order; all n if the share of frauds is at
        least `share` without undersampling.

    """
    values = labels.to_numpy()
    frauds, others = np.flatnonzero(values == 1), np.flatnonzero(values == 0)
    wanted = min(len(others), round(len(frauds) * (1 - share) / share))
    kept = np.random.default_rng(seed).choice(others, size=wanted, replace=False)
    return np.sort(np.concatenate([frauds, kept]))
