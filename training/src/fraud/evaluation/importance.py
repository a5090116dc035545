"""Which features matter to a fitted model: by how much its score falls without each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from fraud.data.schema import FEATURES, LABEL
from fraud.evaluation.bootstrap import average_precision, cells
from fraud.models.flavours import score

#: Ordinary rows that stand for all: more change little and cost much.
ORDINARY, REPEATS = 1000, 3


def importance(estimator: Any, rows: pd.DataFrame, seed: int) -> pd.Series:
    """Permutation importance: the fall of average precision when one column is shuffled.

    All frauds of `rows` and some of the others are used; the others weigh as much as all of
    them would. All shuffled copies are scored in one go.

    Args:
        estimator: fitted.
        rows: of the validation part, so that the test part stays unseen.
        seed: of the choice and the shuffling.

    Returns:
        One number per feature, the mean of three shuffles, largest first.
    """
    rng = np.random.default_rng(seed)
    frauds, others = rows[rows[LABEL] == 1], rows[rows[LABEL] == 0]
    kept = others.iloc[rng.choice(len(others), min(ORDINARY, len(others)), replace=False)]
    chosen = pd.concat([frauds, kept], ignore_index=True)
    truth, values = chosen[LABEL].to_numpy(), chosen[FEATURES].to_numpy()
    weight = len(others) / len(kept)
    copies = np.repeat(values[None], REPEATS * len(FEATURES) + 1, axis=0)
    for copy in range(1, len(copies)):
        column = (copy - 1) % len(FEATURES)
        copies[copy, :, column] = rng.permutation(copies[copy, :, column])
    stacked = pd.DataFrame(copies.reshape(-1, len(FEATURES)), columns=FEATURES)
    scores = score(estimator, stacked).reshape(len(copies), -1)
    precision = [_precision(truth, one, weight) for one in scores]
    falls = precision[0] - np.array(precision[1:]).reshape(REPEATS, -1).mean(axis=0)
    return pd.Series(falls, index=FEATURES).sort_values(ascending=False)


def _precision(truth: np.ndarray, scores: np.ndarray, weight: float) -> float:
    """Average precision where every ordinary row counts `weight` times."""
    cell, k = cells(truth, scores)
    frauds = np.bincount(cell[truth == 1], minlength=k)[None]
    others = np.bincount(cell[truth == 0], minlength=k)[None] * weight
    return float(average_precision(frauds, others)[0])
