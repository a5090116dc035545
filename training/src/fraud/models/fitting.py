"""Fit one model on the training part and evaluate it on the validation and test parts."""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import Any

from threadpoolctl import threadpool_limits

from fraud.data.schema import FEATURES, LABEL
from fraud.data.split import undersample
from fraud.evaluation.bootstrap import interval
from fraud.evaluation.importance import permutation_importance
from fraud.evaluation.metrics import best_threshold, measure
from fraud.models.flavours import predict_scores
from fraud.types import Cost, Fitted, Recipe, Split


def fit_estimator(recipe: Recipe, parts: Split, seed: int, threads: int) -> Any:
    """Fit a recipe on the training part, undersampled if `recipe.undersample` is not None."""
    rows = parts.train
    if recipe.undersample is not None:
        rows = rows.iloc[undersample(rows[LABEL], recipe.undersample, seed)]
    return recipe.build(seed, threads).fit(rows[FEATURES], rows[LABEL])


def fit(recipe: Recipe, parts: Split, seed: int, threads: int, cost: Cost) -> Fitted:
    """Fit a model, choose its threshold on the validation part, score the test part once.

    Args:
        recipe: recipe of the model.
        parts: training, validation and test part of the data set.
        seed: random seed of the undersampling, the estimator and the bootstrap.
        threads: number of threads for this model; other models may be fitted at the same time.
        cost: the chosen threshold minimises this cost.

    """
    with threadpool_limits(limits=threads):
        fit_begin = perf_counter()
        estimator = fit_estimator(recipe, parts, seed, threads)
        fit_end = perf_counter()
        valid_scores = predict_scores(estimator, parts.valid)
        score_begin = perf_counter()
        scores = predict_scores(estimator, parts.test)
        score_end = perf_counter()
        importance = permutation_importance(partial(predict_scores, estimator), parts.valid, seed)
    labels, valid_labels = parts.test[LABEL].to_numpy(), parts.valid[LABEL].to_numpy()
    threshold = best_threshold(valid_labels, valid_scores, cost)
    band = interval(labels, scores, seed)
    metrics = measure(labels, scores, threshold, cost, recipe.probability) | {
        "average_precision_low": band.low,
        "average_precision_high": band.high,
        "valid_average_precision": interval(valid_labels, valid_scores, seed).value,
        "fit_seconds": fit_end - fit_begin,
        "score_seconds": score_end - score_begin,
    }
    return Fitted(recipe, estimator, scores, valid_scores, threshold, metrics, band, importance)
