"""How good a ranking and its decisions are: metrics and the threshold of least cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    matthews_corrcoef,
    precision_score,
    recall_score,
    roc_auc_score,
)

TOP = 100


@dataclass(frozen=True)
class Cost:
    """What a missed fraud (`fn`) and a false alarm (`fp`) cost, in the same currency.

    The defaults: the mean amount of a fraud in the full file is 122; a false alarm takes
    somebody some minutes.
    """

    fn: float = 120.0
    fp: float = 5.0


def cost_curve(labels: np.ndarray, scores: np.ndarray, cost: Cost) -> tuple[np.ndarray, np.ndarray]:
    """Mean cost per transaction at every threshold that makes a difference.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,), higher is more suspect.

    Returns:
        Thresholds, descending, and the cost of flagging every score at or above each. The
        first lies above all scores (nothing is flagged); the others halfway between two
        scores that follow each other, so that rounding cannot move a row across.

    """
    order = np.argsort(-scores, kind="stable")
    ranked, fraud = scores[order], labels[order] == 1
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    found = np.concatenate([[0], np.cumsum(fraud)[last]])
    flagged = np.concatenate([[0], last + 1])
    below = np.append(ranked[last[:-1] + 1], ranked[-1])
    span = max(float(ranked[0] - ranked[-1]), 1e-6)
    cuts = np.concatenate([[ranked[0] + 0.01 * span], (ranked[last] + below) / 2])
    total = cost.fn * (fraud.sum() - found) + cost.fp * (flagged - found)
    return cuts, total / len(labels)


def best_threshold(labels: np.ndarray, scores: np.ndarray, cost: Cost) -> float:
    """The threshold of least cost; of several the highest, which flags least."""
    cuts, costs = cost_curve(labels, scores, cost)
    return float(cuts[np.argmin(costs)])


def measure(
    labels: np.ndarray, scores: np.ndarray, threshold: float, cost: Cost, probability: bool = True
) -> dict[str, float]:
    """All metrics of one model on one part of the data.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,), higher is more suspect; P(fraud) where `probability` is true.
        threshold: what scores at least this is flagged.
        cost: for `expected_cost`, the mean cost per transaction.

    """
    flagged = (scores >= threshold).astype(int)
    top = labels[np.argsort(-scores, kind="stable")[:TOP]]
    wrong = cost.fn * ((labels == 1) & (flagged == 0)) + cost.fp * ((labels == 0) & (flagged == 1))
    metrics = {
        "average_precision": average_precision_score(labels, scores),
        "roc_auc": roc_auc_score(labels, scores),
        "precision_at_100": top.mean(),
        "recall_at_100": top.sum() / labels.sum(),
        "precision": precision_score(labels, flagged, zero_division=0),
        "recall": recall_score(labels, flagged),
        "f1": f1_score(labels, flagged),
        "mcc": matthews_corrcoef(labels, flagged),
        "expected_cost": wrong.mean(),
        "threshold": threshold,
    }
    if probability:
        metrics["brier"] = brier_score_loss(labels, np.clip(scores, 0, 1))
    return {name: float(value) for name, value in metrics.items()}
