"""Metrics of a model's scores and decisions, and the threshold of least cost."""

from __future__ import annotations

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

from fraud.types import Cost

TOP = 100


def wilson(hits: int, total: int) -> tuple[float, float, float]:
    """The share `hits / total` with the limits of its 95 % interval (Wilson, 1927)."""
    share, z2 = hits / total, 1.96**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = 1.96 * np.sqrt(share * (1 - share) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    return share, min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share)


def cost_curve(labels: np.ndarray, scores: np.ndarray, cost: Cost) -> tuple[np.ndarray, np.ndarray]:
    """Mean cost per transaction at every threshold that changes a decision.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,), higher is more suspect.
        cost: costs of a missed fraud and of a false alarm.

    Returns:
        (m,) thresholds in descending order, and the (m,) costs if all scores at or above the
        threshold are flagged. The first threshold is above all scores, so it flags nothing. Each
        other threshold is halfway between two neighbouring scores, so that rounding changes no
        decision.

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
    """The threshold of least cost; the highest one if there are several."""
    cuts, costs = cost_curve(labels, scores, cost)
    return float(cuts[np.argmin(costs)])


def measure(
    labels: np.ndarray, scores: np.ndarray, threshold: float, cost: Cost, probability: bool = True
) -> dict[str, float]:
    """Compute all metrics of one model on one part of the data.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,), higher is more suspect; P(fraud) if `probability` is true.
        threshold: rows with at least this score are flagged.
        cost: costs for the metric `expected_cost`, the mean cost per transaction.
        probability: whether the scores are P(fraud). Only then is `brier` computed.

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
