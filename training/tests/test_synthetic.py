"""The synthetic data set has the real schema, and models rank in the same order as on real rows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from fraud.data import schema, synthetic
from fraud.data.reading import read
from fraud.data.schema import COLUMNS, FEATURES, LABEL
from fraud.data.split import split, undersample
from fraud.models.flavours import predict_scores
from fraud.models.recipes import PROFILES

#: Number of ordinary rows in the full file.
FULL_OTHERS = 284_315
FITTED = ("logistic", "extra-trees", "xgboost", "isolation-forest")


@pytest.fixture(scope="module")
def made() -> pd.DataFrame:
    return synthetic.generate()


def test_size_share_and_schema_are_those_of_the_full_file(made: pd.DataFrame) -> None:
    assert list(made.columns) == COLUMNS
    assert len(made) == 284_807
    assert made[LABEL].sum() == 492
    assert made["Time"].is_monotonic_increasing
    assert made["Time"].max() <= 172_792
    assert (made["Amount"] >= 0).all()
    assert not made.duplicated().any()


def test_a_seed_names_the_rows() -> None:
    first, second, other = (synthetic.generate(2000, 50, seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first, second)
    assert not first.equals(other)


def ranked(frame: pd.DataFrame, weight: float) -> dict[str, float]:
    """Average precision on the test part of a time split, by recipe.

    `weight` is the weight of an ordinary row in training and testing. If a sample has too many
    frauds, a weight above 1 restores the share of frauds of the full file.
    """
    parts = split(frame, "time", 0)
    truth, found = parts.test[LABEL].to_numpy(), {}
    for recipe in PROFILES["default"]:
        if recipe.name not in FITTED:
            continue
        rows, heavy = parts.train, weight
        if recipe.undersample:
            frauds = rows[LABEL].sum()
            rows = rows.iloc[undersample(rows[LABEL], recipe.undersample, 0)]
            wanted = frauds * (1 - recipe.undersample) / recipe.undersample
            heavy = wanted / (len(rows) - frauds)
        weights = np.where(rows[LABEL] == 1, 1.0, heavy)
        estimator = recipe.build(0, 2)
        named = hasattr(estimator, "named_steps")
        key = f"{estimator.steps[-1][0]}__sample_weight" if named else "sample_weight"
        estimator.fit(rows[FEATURES], rows[LABEL], **{key: weights})
        scores = predict_scores(estimator, parts.test)
        test_weight = np.where(truth == 1, 1.0, weight)
        found[recipe.name] = average_precision_score(truth, scores, sample_weight=test_weight)
    return found


def test_models_rank_as_on_the_real_sample(made: pd.DataFrame, real_sample: Path) -> None:
    real = schema.clean(read(real_sample), "real").frame
    ours = ranked(made, 1.0)
    theirs = ranked(real, max(1.0, FULL_OTHERS / (real[LABEL] == 0).sum()))
    print(f"\naverage precision: synthetic {ours}, real {theirs}")
    for found in (ours, theirs):
        assert 0.7 < found["xgboost"] < 0.9
        assert 0.7 < found["extra-trees"] <= found["xgboost"] + 0.02
        assert found["isolation-forest"] < 0.3
        assert found["isolation-forest"] < found["logistic"] <= found["xgboost"] + 0.02
    assert ours["xgboost"] == pytest.approx(theirs["xgboost"], abs=0.1)
