"""Estimate precision and recall without labels, from calibrated scores.

A calibration says which share of the rows of a score are frauds. Where labels are missing, the rows
that a model scored are counted in the calibration's blocks: the expected frauds among the flagged
rows give the precision, the expected frauds among all rows the recall. This is the confidence-based
estimate (CBPE) of NannyML, for blocks of scores instead of single rows.

The estimate presumes that rows of one score are frauds as often as they were when the model was
made. Only labels show when frauds begin to look different.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.isotonic import IsotonicRegression

from fraud.types import Interval

DRAWS = 2000


@dataclass(frozen=True)
class Calibration:
    """How many rows of each block of scores are frauds. The share rises from block to block.

    Attributes:
        threshold: rows with at least this score are flagged. It is one of the edges.
        edges: the k - 1 scores between the blocks, in ascending order. A block contains its lower
            edge.
        rows, frauds: (k,) numbers of rows and of frauds in each block, when the model was made.

    """

    threshold: float
    edges: tuple[float, ...]
    rows: tuple[int, ...]
    frauds: tuple[int, ...]

    @property
    def flagged(self) -> np.ndarray:
        """(k,) whether the rows of each block are flagged."""
        first = int(np.searchsorted(self.edges, self.threshold, side="right"))
        return np.arange(len(self.rows)) >= first

    def count(self, scores: np.ndarray) -> np.ndarray:
        """(k,) number of the (n,) scores in each block, without scores that are NaN."""
        places = np.searchsorted(self.edges, scores[~np.isnan(scores)], side="right")
        return np.bincount(places, minlength=len(self.rows))


def calibrate(labels: np.ndarray, scores: np.ndarray, threshold: float) -> Calibration:
    """Group scores in blocks by isotonic regression, on each side of the threshold.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,) finite scores of rows on which the model was not fitted.
        threshold: rows with at least this score are flagged.

    """
    edges: list[float] = []
    rows: list[int] = []
    frauds: list[int] = []
    above = scores >= threshold
    for side in (~above, above):
        if rows:
            edges.append(threshold)
        blocks = _blocks(labels[side], scores[side])
        # Without rows on a side, nothing is known of it: an empty block stands for it.
        for number, (low, _, count, found) in enumerate(blocks or [(0.0, 0.0, 0, 0)]):
            if number:
                edges.append(_between(blocks[number - 1][1], low))
            rows.append(count)
            frauds.append(found)
    return Calibration(float(threshold), tuple(edges), tuple(rows), tuple(frauds))


def _blocks(labels: np.ndarray, scores: np.ndarray) -> list[tuple[float, float, int, int]]:
    """The lowest score, the highest score, the rows and the frauds of each block."""
    if not len(scores):
        return []
    # Fit on ranks, because scikit-learn treats scores that differ by 1e-15 as equal, and then has
    # no prediction for the larger one.
    _, ranks = np.unique(scores, return_inverse=True)
    shares = IsotonicRegression().fit(ranks, labels).predict(ranks)
    found = []
    for share in np.unique(shares):
        inside, its = scores[shares == share], labels[shares == share]
        found.append((float(inside.min()), float(inside.max()), len(its), int(its.sum())))
    return found


def _between(low: float, high: float) -> float:
    """A number above `low`, at most `high`: if possible, half-way."""
    half = low / 2 + high / 2
    return half if half > low else high


def estimate(
    calibration: Calibration, counts: np.ndarray
) -> tuple[Interval | None, Interval | None]:
    """Estimate precision and recall of rows whose labels are not known.

    The 95 % interval has the uncertainty of the calibration, whose blocks have few frauds, and that
    of the labels of these rows: the shares of 2,000 draws from the posteriors of the blocks
    (Jeffreys' prior) and then from binomial distributions.

    Args:
        calibration: calibration of the model.
        counts: (k,) number of rows in each block, from `Calibration.count`.

    Returns:
        Precision, None if no row is flagged, and recall, None if no row is expected to be a fraud.

    """
    rows, frauds = np.array(calibration.rows), np.array(calibration.frauds)
    flagged = calibration.flagged
    # A block without rows may be anything.
    shares = np.where(rows > 0, frauds / np.maximum(rows, 1), 0.5)
    expected = counts * shares
    total, caught = float(expected.sum()), float(expected[flagged].sum())
    rng = np.random.default_rng(0)
    drawn = rng.binomial(counts, rng.beta(frauds + 0.5, rows - frauds + 0.5, (DRAWS, len(rows))))
    hits = drawn[:, flagged].sum(axis=1)

    def interval(value: float, divisors: np.ndarray | int) -> Interval:
        low, high = np.quantile(hits / np.maximum(divisors, 1), [0.025, 0.975])
        return Interval(value, min(float(low), value), max(float(high), value))

    among = int(counts[flagged].sum())
    precision = interval(caught / among, among) if among else None
    recall = interval(caught / total, drawn.sum(axis=1)) if total else None
    return precision, recall
