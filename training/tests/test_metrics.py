"""Metrics, thresholds and bootstrap, each compared with a slower, simpler computation."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from fraud.evaluation import bootstrap
from fraud.evaluation.metrics import best_threshold, cost_curve, measure
from fraud.types import Cost

RNG = np.random.default_rng(0)
LABELS = (RNG.random(3000) < 0.04).astype(int)
#: The scores are rounded, so that many rows have the same score.
SCORES = np.round(RNG.normal(LABELS * 1.5, 1.0), 1)


def test_the_value_is_scikit_learn_s_average_precision_ties_included() -> None:
    found = bootstrap.interval(LABELS, SCORES, seed=0)
    assert found.value == pytest.approx(average_precision_score(LABELS, SCORES), abs=1e-12)
    assert found.low < found.value < found.high


def naive(scores: np.ndarray, count: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    rows = rng.integers(0, len(LABELS), (count, len(LABELS)))
    return np.array([average_precision_score(LABELS[row], scores[row]) for row in rows])


def test_the_interval_is_that_of_resampling_row_by_row() -> None:
    found = bootstrap.interval(LABELS, SCORES, seed=0)
    low, high = np.quantile(naive(SCORES, 600), [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.015)
    assert found.high == pytest.approx(high, abs=0.015)


def test_the_paired_interval_is_that_of_resampling_row_by_row() -> None:
    other = SCORES + np.round(RNG.normal(0, 0.7, len(SCORES)), 1)
    found = bootstrap.paired(LABELS, SCORES, other, seed=0)
    low, high = np.quantile(naive(SCORES, 600) - naive(other, 600), [0.025, 0.975])
    expected = average_precision_score(LABELS, SCORES) - average_precision_score(LABELS, other)
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.low == pytest.approx(low, abs=0.015)
    assert found.high == pytest.approx(high, abs=0.015)


def test_a_model_does_not_beat_itself() -> None:
    found = bootstrap.paired(LABELS, SCORES, SCORES, seed=0)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def cost_at(threshold: float, cost: Cost) -> float:
    flagged = threshold <= SCORES
    missed, alarms = (LABELS == 1) & ~flagged, (LABELS == 0) & flagged
    return float((cost.fn * missed + cost.fp * alarms).mean())


@pytest.mark.parametrize("cost", [Cost(), Cost(1000, 1), Cost(1, 1000)])
def test_no_threshold_costs_less_than_the_chosen_one(cost: Cost) -> None:
    chosen = best_threshold(LABELS, SCORES, cost)
    tried = [cost_at(t, cost) for t in np.linspace(SCORES.min() - 1, SCORES.max() + 1, 2000)]
    assert cost_at(chosen, cost) == pytest.approx(min(tried))
    cuts, costs = cost_curve(LABELS, SCORES, cost)
    assert costs == pytest.approx([cost_at(cut, cost) for cut in cuts])


def test_metrics_of_a_perfect_and_of_a_constant_model() -> None:
    perfect = measure(LABELS, LABELS.astype(float), 0.5, Cost())
    ones = ("average_precision", "roc_auc", "precision", "recall", "f1", "mcc")
    assert [perfect[key] for key in ones] == [1.0] * 6
    assert perfect["expected_cost"] == perfect["brier"] == 0
    constant = measure(LABELS, np.zeros(len(LABELS)), 0.5, Cost(fn=100))
    assert constant["average_precision"] == pytest.approx(LABELS.mean())
    assert constant["expected_cost"] == pytest.approx(100 * LABELS.mean())


def test_precision_and_recall_at_100_count_the_top() -> None:
    found = measure(LABELS, SCORES, 1.0, Cost(), probability=False)
    top = LABELS[np.argsort(-SCORES, kind="stable")[:100]].sum()
    assert found["precision_at_100"] == pytest.approx(top / 100)
    assert found["recall_at_100"] == pytest.approx(top / LABELS.sum())
    assert "brier" not in found
