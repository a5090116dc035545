"""Bootstrap intervals of average precision, exact and in milliseconds.

Average precision depends on how often each fraud is drawn, and on how many other rows are drawn
between two frauds of the ranking. The order of these other rows does not matter. All rows are
therefore counted in *cells* by label: one cell for each distinct score of a fraud, and one for the
rows below all frauds. A resample is then one multinomial draw over some hundred cells. Drawing and
sorting n rows for each resample would take much longer.
"""

from __future__ import annotations

import numpy as np

from fraud.types import Interval

RESAMPLES = 1000


def cells(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, int]:
    """Assign each row to a cell of the ranking.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,), higher is more suspect.

    Returns:
        (n,) cell numbers and k, the number of cells. Cell 0 has the rows that score at least as
        high as the highest fraud, cell k - 1 those that score below every fraud.

    """
    cuts = np.unique(scores[labels == 1])
    return len(cuts) - np.searchsorted(cuts, scores, side="right"), len(cuts) + 1


def average_precision(frauds: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Average precision of B resamples.

    Args:
        frauds: (B, k) number of frauds in each cell, in descending order of score.
        others: (B, k) number of other rows in each cell.

    Returns:
        (B,), equal to scikit-learn's `average_precision_score`; NaN without frauds.

    """
    found = np.cumsum(frauds, axis=1)
    flagged = found + np.cumsum(others, axis=1)
    precision = np.divide(found, flagged, out=np.zeros(found.shape), where=flagged > 0)
    total = found[:, -1:]
    recall = np.divide(frauds, total, out=np.full(found.shape, np.nan), where=total > 0)
    values: np.ndarray = (recall * precision).sum(axis=1)
    return values


def _cell_sizes(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(k, 2) number of other rows and of frauds in each cell."""
    cell, k = cells(labels, scores)
    return np.bincount(2 * cell + (labels == 1), minlength=2 * k).reshape(k, 2)


def resample(
    labels: np.ndarray, scores: np.ndarray, seed: int, count: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray]:
    """Draw `count` resamples of n rows.

    Returns:
        The numbers of frauds and of other rows in each cell, (count, k) each.

    """
    sizes = _cell_sizes(labels, scores)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(labels), sizes.ravel() / len(labels), size=count)
    drawn = drawn.reshape(count, *sizes.shape)
    return drawn[:, :, 1], drawn[:, :, 0]


def interval(labels: np.ndarray, scores: np.ndarray, seed: int) -> Interval:
    """Average precision of n rows with its 95 % interval.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,), higher is more suspect.
        seed: random seed of the resamples.

    """
    sizes = _cell_sizes(labels, scores)
    value = float(average_precision(sizes[None, :, 1], sizes[None, :, 0])[0])
    samples = average_precision(*resample(labels, scores, seed))
    low, high = np.nanquantile(samples, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def paired(
    labels: np.ndarray, ours: np.ndarray, theirs: np.ndarray, seed: int, count: int = 2000
) -> Interval:
    """Average precision of `ours` minus that of `theirs`, with its 95 % interval.

    Both models are evaluated on the same resamples, so that the sampling noise that they share
    cancels out.

    Args:
        labels: (n,) of 0 and 1.
        ours, theirs: (n,) scores of two models for the same rows.
        seed: random seed of the resamples.
        count: number of resamples.

    """
    (a, k_a), (b, k_b) = cells(labels, ours), cells(labels, theirs)
    joint, sizes = np.unique((a * k_b + b) * 2 + (labels == 1), return_counts=True)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(labels), sizes / len(labels), size=count)
    drawn = np.vstack([sizes, drawn])  # resample 0 is the original data
    fraud, pair = joint % 2 == 1, joint // 2
    first = _precision_by(pair // k_b, k_a, drawn, fraud)
    second = _precision_by(pair % k_b, k_b, drawn, fraud)
    difference = first - second
    low, high = np.nanquantile(difference[1:], [0.025, 0.975])
    return Interval(float(difference[0]), float(low), float(high))


def _precision_by(cell: np.ndarray, k: int, drawn: np.ndarray, fraud: np.ndarray) -> np.ndarray:
    """Average precision of one model's ranking in B resamples.

    The rows of a joint cell have the same label, the same cell in one model's ranking, and the same
    cell in the other model's ranking.

    Args:
        cell: (j,) the cell of each joint cell in this model's ranking.
        k: number of the model's cells.
        drawn: (B, j) number of rows in each joint cell.
        fraud: (j,) whether the rows of a joint cell are frauds.

    """
    onehot = np.zeros((len(cell), k))
    onehot[np.arange(len(cell)), cell] = 1.0
    return average_precision(drawn[:, fraud] @ onehot[fraud], drawn[:, ~fraud] @ onehot[~fraud])
