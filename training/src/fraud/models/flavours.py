"""Models on disk in MLflow's format, and what they say through `mlflow.pyfunc`.

Every model answers `mlflow.pyfunc.load_model(…).predict(frame)` with suspicion, never with
labels: scikit-learn's models with two columns, of which the second is P(fraud); XGBoost's
booster with P(fraud) alone; the isolation forest with its anomaly score. `fraud_scores` makes
one column of each. The threshold that was chosen on the validation part travels in the model's
metadata.
"""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import mlflow.sklearn
import mlflow.xgboost
import numpy as np
import pandas as pd
import skops.io
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from sklearn.ensemble import IsolationForest
from xgboost import XGBClassifier

from fraud.data.schema import FEATURES

#: Types in our models that skops does not know to be harmless.
TRUSTED = [
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
]

SKLEARN_NEEDS = ("mlflow-skinny", "numpy", "pandas", "scikit-learn", "skops")
XGBOOST_NEEDS = ("mlflow-skinny", "numpy", "pandas", "xgboost-cpu")


def pinned(names: tuple[str, ...]) -> list[str]:
    """The packages with the versions that are installed, as pip's requirements."""
    return [f"{name}=={version(name)}" for name in names]


def fraud_scores(output: Any) -> np.ndarray:
    """(n,) float64 from what a model's `predict` or `predict_proba` gave for n rows."""
    values = np.asarray(output, dtype=np.float64)
    scores: np.ndarray = values[:, -1] if values.ndim == 2 else values
    return scores


def score(estimator: Any, frame: pd.DataFrame) -> np.ndarray:
    """Suspicion of every row, (n,), by a fitted estimator of `fraud.models.recipes`."""
    if isinstance(estimator, IsolationForest):
        return fraud_scores(-estimator.score_samples(frame[FEATURES]))
    return fraud_scores(estimator.predict_proba(frame[FEATURES]))


def signature(output: np.ndarray) -> ModelSignature:
    """29 features in, as float64; scores of the given shape and type out."""
    inputs = Schema([ColSpec(DataType.double, name) for name in FEATURES])
    outputs = Schema([TensorSpec(output.dtype, (-1, *output.shape[1:]))])
    return ModelSignature(inputs=inputs, outputs=outputs)


def save(estimator: Any, path: Path, model: Model, example: pd.DataFrame) -> None:
    """Write a fitted estimator to the new directory `path`, flavour and all.

    Args:
        estimator: of `fraud.models.recipes`, fitted.
        path: a directory that does not exist.
        model: MLflow's description, with the identity and the metadata it will have.
        example: some rows with at least the columns `FEATURES`.

    """
    rows = example[FEATURES]
    common = {"mlflow_model": model, "input_example": rows}
    if isinstance(estimator, IsolationForest):
        _save_isolation(estimator, path, common, rows)
    elif isinstance(estimator, XGBClassifier):
        mlflow.xgboost.save_model(
            estimator.get_booster(),
            path,
            model_format="ubj",
            signature=signature(estimator.predict_proba(rows)[:, 1]),
            pip_requirements=pinned(XGBOOST_NEEDS),
            **common,
        )
    else:
        mlflow.sklearn.save_model(
            estimator,
            path,
            pyfunc_predict_fn="predict_proba",
            skops_trusted_types=TRUSTED,
            signature=signature(estimator.predict_proba(rows)),
            pip_requirements=pinned(SKLEARN_NEEDS),
            **common,
        )


def _save_isolation(
    forest: IsolationForest, path: Path, common: dict[str, Any], rows: pd.DataFrame
) -> None:
    """As a Python model whose code is `anomaly.py`: MLflow's flavour knows no scores."""
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder, "forest.skops")
        skops.io.dump(forest, stored)
        mlflow.pyfunc.save_model(
            path,
            python_model=str(Path(__file__).with_name("anomaly.py")),
            artifacts={"forest": str(stored)},
            signature=signature(-forest.score_samples(rows)),
            pip_requirements=pinned(SKLEARN_NEEDS),
            **common,
        )
