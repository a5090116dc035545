"""No leakage: models learn nothing from validation rows, test rows or their labels."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits

from fraud.data.schema import FEATURES, LABEL
from fraud.data.split import split
from fraud.models.fitting import fit, fit_estimator
from fraud.models.flavours import predict_scores
from fraud.models.recipes import PROFILES
from fraud.types import Cost, Recipe, Split

RECIPES = [pytest.param(recipe, id=f"{name}-{recipe.name}")
           for name, recipes in PROFILES.items() for recipe in recipes]  # fmt: skip

#: All recipes except the isolation forest, which uses no labels.
SUPERVISED = [one for one in RECIPES if "isolation" not in str(one.id)]


@pytest.fixture(scope="module")
def parts(small: pd.DataFrame) -> Split:
    return split(small, "time", 0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Limit OpenMP to one thread, because on busy cores two threads wait for each other."""
    with threadpool_limits(limits=1):
        yield


def shuffled(part: pd.DataFrame, seed: int) -> pd.DataFrame:
    labels = np.random.default_rng(seed).permutation(part[LABEL].to_numpy())
    return part.assign(**{LABEL: labels})


def precision_after_shuffling(recipe: Recipe, parts: Split) -> float:
    """Average precision on the test part, mean of four fits with shuffled training labels."""
    found = []
    for seed in range(4):
        blind = replace(parts, train=shuffled(parts.train, seed))
        scores = predict_scores(fit_estimator(recipe, blind, seed, 1), parts.test)
        found.append(average_precision_score(parts.test[LABEL], scores))
    return float(np.mean(found))


@pytest.mark.parametrize("recipe", SUPERVISED)
def test_with_shuffled_training_labels_no_frauds_are_found(recipe: Recipe, parts: Split) -> None:
    share = parts.test[LABEL].mean()
    assert precision_after_shuffling(recipe, parts) < 3 * share


def test_a_leak_of_test_rows_would_be_noticed(parts: Split) -> None:
    recipe = PROFILES["seed"][1]
    leaky = replace(parts, train=pd.concat([shuffled(parts.train, 0), parts.test]))
    scores = predict_scores(fit_estimator(recipe, leaky, 0, 1), parts.test)
    assert average_precision_score(parts.test[LABEL], scores) > 10 * parts.test[LABEL].mean()


@pytest.mark.parametrize("recipe", RECIPES)
def test_nothing_is_fitted_on_validation_or_test_rows(recipe: Recipe, parts: Split) -> None:
    """The model's scores are identical after all validation and test rows are changed."""
    probe = parts.test.head(300)

    def other(part: pd.DataFrame) -> pd.DataFrame:
        changed = shuffled(part, 7)
        changed[FEATURES] = changed[FEATURES] * -3 + 11
        return changed

    altered = replace(parts, valid=other(parts.valid), test=other(parts.test))
    first = fit(recipe, parts, 0, 1, Cost()).estimator
    second = fit(recipe, altered, 0, 1, Cost()).estimator
    np.testing.assert_array_equal(predict_scores(first, probe), predict_scores(second, probe))


def test_the_threshold_is_chosen_without_the_test_part(parts: Split) -> None:
    recipe = PROFILES["default"][0]
    altered = replace(parts, test=shuffled(parts.test, 3))
    first, second = (fit(recipe, one, 0, 1, Cost()) for one in (parts, altered))
    assert first.threshold == second.threshold
    assert first.metrics["expected_cost"] != second.metrics["expected_cost"]


def test_the_same_seed_gives_the_same_metrics(parts: Split) -> None:
    for recipe in PROFILES["default"]:
        first, second = (fit(recipe, parts, 5, 1, Cost()) for _ in range(2))
        for key, value in first.metrics.items():
            if not key.endswith("_seconds"):
                assert second.metrics[key] == value, (recipe.name, key)
