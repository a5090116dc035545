"""One model from recipe to numbers: fitted on the training part, and on nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from fraud.data.schema import FEATURES, LABEL
from fraud.data.split import Split, undersample
from fraud.evaluation.bootstrap import Interval, interval
from fraud.evaluation.importance import importance
from fraud.evaluation.metrics import Cost, best_threshold, measure
from fraud.models.flavours import score
from fraud.models.recipes import Recipe


@dataclass(frozen=True)
class Fitted:
    """A fitted model and how it does.

    Attributes:
        estimator: of scikit-learn's interface.
        scores: (n_test,) of the test part, which was scored once.
        threshold: of least cost on the validation part.
        metrics: of the test part, and `valid_average_precision`, by which the best is chosen.
        interval: of average precision on the test part, 95 %.
        importance: of the features on the validation part, largest first.

    """

    recipe: Recipe
    estimator: Any
    scores: np.ndarray
    threshold: float
    metrics: dict[str, float]
    interval: Interval
    importance: pd.Series


def fit_estimator(recipe: Recipe, parts: Split, seed: int, threads: int) -> Any:
    """Fit a recipe on the training part: all rows, or an undersampled choice of them."""
    rows = parts.train
    if recipe.undersample is not None:
        rows = rows.iloc[undersample(rows[LABEL], recipe.undersample, seed)]
    return recipe.build(seed, threads).fit(rows[FEATURES], rows[LABEL])


def fit(recipe: Recipe, parts: Split, seed: int, threads: int, cost: Cost) -> Fitted:
    """Fit, choose the threshold on the validation part, score the test part once.

    Args:
        threads: that this model may use; several models are fitted at the same time.

    """
    with threadpool_limits(limits=threads):
        began = perf_counter()
        estimator = fit_estimator(recipe, parts, seed, threads)
        fitted = perf_counter()
        valid = score(estimator, parts.valid)
        before = perf_counter()
        scores = score(estimator, parts.test)
        scored = perf_counter()
        falls = importance(estimator, parts.valid, seed)
    truth, valid_truth = parts.test[LABEL].to_numpy(), parts.valid[LABEL].to_numpy()
    threshold = best_threshold(valid_truth, valid, cost)
    metrics = measure(truth, scores, threshold, cost, recipe.probability)
    band = interval(truth, scores, seed)
    metrics |= {
        "average_precision_low": band.low,
        "average_precision_high": band.high,
        "valid_average_precision": interval(valid_truth, valid, seed).value,
        "fit_seconds": fitted - began,
        "score_seconds": scored - before,
    }
    return Fitted(recipe, estimator, scores, threshold, metrics, band, falls)
