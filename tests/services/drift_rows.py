"""Make a model with a reference profile, and return rows that are later than the model's training rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import Model
from scoring import describe

DAY = 24 * 3600


def later_hours(sample: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the first 80 % of a day's rows with labels, and the features of the last 20 %, from later hours.

    sample: path of a file with the columns of Kaggle's creditcard.csv. Without it, the rows are synthetic. The second
    day of Kaggle's file is not used, because its rows really differ from those of the first day.
    """
    from fraud.data.reading import read
    from fraud.data.schema import FEATURES, TIME
    from fraud.data.split import split
    from fraud.data.synthetic import generate

    frame = read(Path(sample)) if sample else generate(20_000, 600, seed=4)
    parts = split(frame[frame[TIME] < DAY].sort_values(TIME, ignore_index=True), "time", 0)
    return pd.concat([parts.train, parts.valid], ignore_index=True), parts.test[FEATURES]


def make_model(place: Path, name: str, reference: pd.DataFrame, profile: Any = None) -> None:
    """Fit an XGBoost model to some rows of `reference`; save the model and a reference profile like `fraud train`.

    profile: text to save in place of the reference profile.
    """
    from fraud.data.schema import FEATURES, LABEL
    from fraud.evaluation.reference_profile import describe_columns, reference_profile
    from fraud.models.flavours import predict_scores, save
    from fraud.models.recipes import PROFILES
    from threadpoolctl import threadpool_limits

    [recipe] = [one for one in PROFILES["default"] if one.name == "xgboost"]
    fitted, held_back = reference[: len(reference) * 3 // 4], reference[len(reference) * 3 // 4 :]
    with threadpool_limits(1):
        estimator = recipe.build(0, 1).fit(fitted[FEATURES], fitted[LABEL])
        scores = predict_scores(estimator, held_back)
    threshold = 0.3
    text = profile or reference_profile(describe_columns(reference[FEATURES]), scores, threshold)
    place.mkdir(parents=True)
    save(estimator, place / "model", Model(metadata={"threshold": threshold}), reference.iloc[:5], text)
    describe(place, name)
