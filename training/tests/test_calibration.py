"""Precision and recall are estimated without labels, and the estimate has the truth's range."""

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from fraud.data.schema import LABEL
from fraud.data.split import split
from fraud.evaluation.calibration import Calibration, calibrate, estimate
from fraud.models.fitting import fit
from fraud.models.flavours import predict_scores
from fraud.models.recipes import PROFILES
from fraud.types import Cost

RNG = np.random.default_rng(8)


def rows_of(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores: a score s is a fraud with the probability s**2."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(0.3, 3, count)
    return (rng.random(count) < scores**2).astype(int), scores


def truth(labels: np.ndarray, flagged: np.ndarray) -> tuple[float, float]:
    """Precision and recall."""
    caught = np.sum(labels[flagged])
    return float(caught / flagged.sum()), float(caught / labels.sum())


def test_blocks_have_all_rows_rising_shares_and_an_edge_at_the_threshold() -> None:
    labels, scores = rows_of(5000, 1)
    found = calibrate(labels, scores, 0.4)
    assert found.threshold in found.edges
    assert list(found.edges) == sorted(set(found.edges))
    assert (sum(found.rows), sum(found.frauds)) == (5000, labels.sum())
    assert found.count(scores).tolist() == list(found.rows)
    shares = np.array(found.frauds) / found.rows
    flagged = found.flagged
    assert (np.diff(shares[flagged]) > 0).all()
    assert (np.diff(shares[~flagged]) > 0).all()
    assert sum(np.array(found.rows)[flagged]) == (scores >= 0.4).sum()
    assert 3 < len(found.rows) < 60


def test_scores_that_differ_by_less_than_1e_15_are_calibrated() -> None:
    scores = np.array([0.1, 0.1 + 1e-16, 0.2, 1 - 4e-16, 1 - 2e-16, 1.0])
    found = calibrate(np.array([0, 0, 1, 0, 1, 1]), scores, 0.5)
    assert (sum(found.rows), sum(found.frauds)) == (6, 3)
    assert found.count(scores).tolist() == list(found.rows)


def test_a_score_that_is_missing_is_in_no_block() -> None:
    found = Calibration(0.5, (0.5,), (10, 10), (1, 9))
    assert found.count(np.array([0.5, 0.49999, np.nan, 7.0, -7.0])).tolist() == [2, 2]


def test_the_estimate_of_the_same_rows_is_their_precision_and_recall() -> None:
    labels, scores = rows_of(5000, 2)
    calibration = calibrate(labels, scores, 0.3)
    precision, recall = estimate(calibration, calibration.count(scores))
    assert precision is not None
    assert recall is not None
    wanted = truth(labels, scores >= 0.3)
    assert (precision.value, recall.value) == pytest.approx(wanted)
    for one in (precision, recall):
        assert 0 < one.low < one.value < one.high < 1


def test_the_interval_covers_the_truth_of_other_rows_in_19_of_20_draws() -> None:
    covered = []
    for seed in range(100):
        labels, scores = rows_of(3000, 1000 + seed)
        calibration = calibrate(labels, scores, 0.3)
        # The rows of the period score higher: the distribution has drifted, frauds have not.
        labels, scores = rows_of(6000, 5000 + seed)
        kept = (scores > 0.2) | (np.arange(6000) % 3 == 0)
        labels, scores = labels[kept], scores[kept]
        found = estimate(calibration, calibration.count(scores))
        wanted = truth(labels, scores >= 0.3)
        for one, value in zip(found, wanted, strict=True):
            assert one is not None
            covered.append(one.low <= value <= one.high)
    assert 0.9 <= np.mean(covered) <= 0.995


def test_without_flagged_rows_there_is_no_precision_and_without_frauds_no_recall() -> None:
    labels, scores = np.array([0, 0, 1, 0]), np.full(4, 0.1)
    calibration = calibrate(labels, scores, 0.5)
    assert (calibration.rows, calibration.frauds, calibration.edges) == ((4, 0), (1, 0), (0.5,))
    precision, recall = estimate(calibration, np.array([100, 0]))
    assert precision is None
    assert recall is not None
    assert recall.value == 0
    # Nothing is known of the precision of a block that had no rows.
    precision, _ = estimate(calibration, np.array([100, 20]))
    assert precision is not None
    assert (precision.value, precision.low < 0.05, precision.high > 0.95) == (0.5, True, True)
    none = calibrate(np.zeros(4), scores, 0.5)
    assert estimate(none, np.array([9, 0])) == (None, None)
    everything = calibrate(np.array([0, 1]), np.array([0.6, 0.7]), 0.5)
    assert everything.rows == (0, 1, 1)
    assert everything.edges == pytest.approx((0.5, 0.65))


@pytest.mark.parametrize("low", [0.25, 16.0, np.nextafter(16, 17)])
def test_neighbouring_scores_stay_in_their_blocks(low: float) -> None:
    scores = np.repeat([low, np.nextafter(low, 99)], 50)
    labels = np.repeat([0, 1], 50)
    found = calibrate(labels, scores, 0.9)
    assert found.count(scores).tolist() == list(found.rows)


@pytest.mark.parametrize("name", ["logistic", "xgboost"])
def test_the_estimate_of_held_back_rows_is_near_the_truth(name: str, small: pd.DataFrame) -> None:
    """Mean error of 4 splits of synthetic rows. docs/monitoring.md has that of real ones."""
    recipe = next(one for one in PROFILES["default"] if one.name == name)
    errors, covered = [], []
    for seed in range(4):
        parts = split(small, "random", seed)
        with threadpool_limits(limits=1):
            fitted = fit(recipe, parts, seed, 1, Cost())
        calibration = calibrate(
            parts.valid[LABEL].to_numpy(), fitted.valid_scores, fitted.threshold
        )
        scores = predict_scores(fitted.estimator, parts.test)
        found = estimate(calibration, calibration.count(scores))
        wanted = truth(parts.test[LABEL].to_numpy(), scores >= fitted.threshold)
        for one, value in zip(found, wanted, strict=True):
            assert one is not None
            errors.append(abs(one.value - value))
            covered.append(one.low <= value <= one.high)
    assert np.mean(errors) < 0.08
    assert sum(covered) >= 6
