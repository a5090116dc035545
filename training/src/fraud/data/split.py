"""Training, validation and test rows, and the rows that a model may be fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fraud.data.schema import FEATURES, LABEL, TIME
from fraud.errors import DataError

SHARES = (0.6, 0.2, 0.2)
LEAST_FRAUDS = 20


@dataclass(frozen=True)
class Split:
    """Three disjoint parts of a data set; `how` is `time` or `random`."""

    train: pd.DataFrame
    valid: pd.DataFrame
    test: pd.DataFrame
    how: str


def by_time(frame: pd.DataFrame) -> pd.Series:
    """Part 0, 1 or 2 of each row: the first 60 % in time, the next 20 %, the last 20 %.

    Rows of the same second stay together.
    """
    cuts = frame[TIME].quantile(np.cumsum(SHARES[:2])).to_numpy()
    return pd.Series(np.searchsorted(cuts, frame[TIME], side="right"), frame.index)


def at_random(frame: pd.DataFrame, seed: int) -> pd.Series:
    """Part 0, 1 or 2 of each row, by lot, with the same share of frauds in each part.

    Rows that differ in nothing but `Time` and `Class` are one payment seen twice: they share
    a lot, so that no test row was already seen in training.
    """
    rng = np.random.default_rng(seed)
    group, _ = pd.factorize(pd.util.hash_pandas_object(frame[FEATURES], index=False))
    fraud = np.zeros(group.max() + 1, dtype=bool)
    fraud[group[frame[LABEL].to_numpy() == 1]] = True
    part = np.empty(len(fraud), dtype=np.int64)
    for side in (False, True):
        members = rng.permutation(np.flatnonzero(fraud == side))
        edges = np.round(np.cumsum(SHARES) * len(members)).astype(int)
        part[members] = np.searchsorted(edges, np.arange(len(members)), side="right")
    return pd.Series(part[group], frame.index)


def split(frame: pd.DataFrame, how: str, seed: int) -> Split:
    """Cut a clean data set 60/20/20, `how` being `time` or `random`.

    Raises:
        DataError: a part has fewer than 20 frauds, too few to tell models apart.

    """
    part = by_time(frame) if how == "time" else at_random(frame, seed)
    parts = [frame[part == number].reset_index(drop=True) for number in range(3)]
    for name, rows in zip(("training", "validation", "test"), parts, strict=True):
        frauds = int(rows[LABEL].sum())
        if frauds < LEAST_FRAUDS:
            other = "--split random, or more data" if how == "time" else "more data"
            raise DataError(
                f"Split by {how}, the {name} part has {frauds} frauds; {LEAST_FRAUDS} are needed",
                f"Try {other}.",
            )
    return Split(parts[0], parts[1], parts[2], how)


def undersample(labels: pd.Series, share: float, seed: int) -> np.ndarray:
    """Positions of all frauds and as many other rows that frauds are `share` of both.

    Args:
        labels: 0 or 1, n of them, of the training part only.
        share: of frauds among the rows that are kept, 0 to 1.
        seed: of the lot.

    Returns:
        Positions in ascending order; all n where frauds have that share already.

    """
    values = labels.to_numpy()
    frauds, others = np.flatnonzero(values == 1), np.flatnonzero(values == 0)
    wanted = min(len(others), round(len(frauds) * (1 - share) / share))
    kept = np.random.default_rng(seed).choice(others, size=wanted, replace=False)
    return np.sort(np.concatenate([frauds, kept]))
