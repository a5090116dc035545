"""Bootstrap intervals of average precision, exact and in milliseconds.

Resampling n rows with replacement changes average precision only through how many frauds each
row contributes and how many other rows fall between two frauds in the ranking. So the rows are
first counted into *cells* (one per fraud score and label), and a resample is one multinomial
draw over some hundred cells instead of a draw and a sort of n rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000


@dataclass(frozen=True)
class Interval:
    """A score and the 2.5 % and 97.5 % quantiles of its bootstrap distribution."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def cells(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, int]:
    """Which cell of the ranking each row falls in.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,), higher is more suspect.

    Returns:
        (n,) cell numbers, 0 for the rows that score at least as the highest fraud does, and
        the number of cells; the last one holds what scores below every fraud.

    """
    cuts = np.unique(scores[labels == 1])
    return len(cuts) - np.searchsorted(cuts, scores, side="right"), len(cuts) + 1


def average_precision(frauds: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Average precision of B resamples.

    Args:
        frauds: (B, k) how many frauds of each resample fall in each cell, in order of score.
        others: (B, k) the same for all other rows.

    Returns:
        (B,), as scikit-learn's `average_precision_score` would give; NaN without frauds.

    """
    found = np.cumsum(frauds, axis=1)
    flagged = found + np.cumsum(others, axis=1)
    precision = np.divide(found, flagged, out=np.zeros(found.shape), where=flagged > 0)
    total = found[:, -1:]
    recall = np.divide(frauds, total, out=np.full(found.shape, np.nan), where=total > 0)
    scores: np.ndarray = (recall * precision).sum(axis=1)
    return scores


def resample(
    labels: np.ndarray, scores: np.ndarray, seed: int, count: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray]:
    """Counts per cell of `count` resamples: frauds and others, (count, k) each."""
    cell, k = cells(labels, scores)
    sizes = np.bincount(2 * cell + (labels == 1), minlength=2 * k)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(labels), sizes / len(labels), size=count).reshape(count, k, 2)
    return drawn[:, :, 1], drawn[:, :, 0]


def interval(labels: np.ndarray, scores: np.ndarray, seed: int) -> Interval:
    """Average precision with its 95 % interval."""
    cell, k = cells(labels, scores)
    sizes = np.bincount(2 * cell + (labels == 1), minlength=2 * k).reshape(1, k, 2)
    value = float(average_precision(sizes[:, :, 1], sizes[:, :, 0])[0])
    samples = average_precision(*resample(labels, scores, seed))
    low, high = np.nanquantile(samples, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def paired(
    labels: np.ndarray, ours: np.ndarray, theirs: np.ndarray, seed: int, count: int = 2000
) -> Interval:
    """How much more average precision `ours` has than `theirs`, on the same resampled rows.

    Both models see the same resample each time, so that the luck of the draw cancels out.

    Args:
        labels: (n,) of 0 and 1.
        ours, theirs: (n,) scores of the two models for the same rows.

    """
    (a, k_a), (b, k_b) = cells(labels, ours), cells(labels, theirs)
    joint, sizes = np.unique((a * k_b + b) * 2 + (labels == 1), return_counts=True)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(labels), sizes / len(labels), size=count)
    drawn = np.vstack([sizes, drawn])  # row 0 is the sample itself
    fraud, pair = joint % 2 == 1, joint // 2
    first = _precision_by(pair // k_b, k_a, drawn, fraud)
    second = _precision_by(pair % k_b, k_b, drawn, fraud)
    difference = first - second
    low, high = np.nanquantile(difference[1:], [0.025, 0.975])
    return Interval(float(difference[0]), float(low), float(high))


def _precision_by(cell: np.ndarray, k: int, drawn: np.ndarray, fraud: np.ndarray) -> np.ndarray:
    onehot = np.zeros((len(cell), k))
    onehot[np.arange(len(cell)), cell] = 1.0
    return average_precision(drawn[:, fraud] @ onehot[fraud], drawn[:, ~fraud] @ onehot[~fraud])
