"""Permutation importance: the drop in average precision when one feature is shuffled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from fraud.data.schema import FEATURES, LABEL
from fraud.evaluation.bootstrap import average_precision, cells

#: Number of ordinary rows in the sample, and number of shuffles. A larger sample takes much longer
#: and changes the result little.
ORDINARY, REPEATS = 1000, 3


def permutation_importance(
    score: Callable[[pd.DataFrame], np.ndarray], rows: pd.DataFrame, seed: int
) -> pd.Series:
    """Measure how much average precision falls when one column is shuffled.

    The sample has all frauds of `rows` and at most 1,000 ordinary rows. The ordinary rows are
    weighted, so that the share of frauds is that of `rows`. All shuffled copies are scored in one
    call.

    Args:
        score: function that returns (n,) scores for n rows with the columns `FEATURES`.
        rows: rows of the validation part, because the test part is scored only once.
        seed: random seed of the sample and the shuffles.

    Returns:
        One value per feature, the mean of three shuffles, largest first.

    """
    rng = np.random.default_rng(seed)
    frauds, others = rows[rows[LABEL] == 1], rows[rows[LABEL] == 0]
    kept = others.iloc[rng.choice(len(others), min(ORDINARY, len(others)), replace=False)]
    chosen = pd.concat([frauds, kept], ignore_index=True)
    labels, values = chosen[LABEL].to_numpy(), chosen[FEATURES].to_numpy()
    weight = len(others) / len(kept)
    copies = np.repeat(values[None], REPEATS * len(FEATURES) + 1, axis=0)
    for copy in range(1, len(copies)):
        column = (copy - 1) % len(FEATURES)
        copies[copy, :, column] = rng.permutation(copies[copy, :, column])
    stacked = pd.DataFrame(copies.reshape(-1, len(FEATURES)), columns=FEATURES)
    scores = score(stacked).reshape(len(copies), -1)
    precision = [_weighted_precision(labels, row, weight) for row in scores]
    falls = precision[0] - np.array(precision[1:]).reshape(REPEATS, -1).mean(axis=0)
    return pd.Series(falls, index=FEATURES).sort_values(ascending=False)


def _weighted_precision(labels: np.ndarray, scores: np.ndarray, weight: float) -> float:
    """Average precision of n rows, each ordinary row with the weight `weight`."""
    cell, k = cells(labels, scores)
    frauds = np.bincount(cell[labels == 1], minlength=k)[None]
    others = np.bincount(cell[labels == 0], minlength=k)[None] * weight
    return float(average_precision(frauds, others)[0])
