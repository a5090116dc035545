"""Save models in MLflow's format, and read scores from the output of each flavour.

`mlflow.pyfunc.load_model(…).predict(frame)` returns scores, never labels. scikit-learn's models
return two columns, of which the second is P(fraud). XGBoost's booster returns only P(fraud). The
isolation forest returns its anomaly score. `fraud_scores` reduces each output to one column. The
model's metadata contain the threshold that was chosen on the validation part.

A saved model refers to no module of this package. It therefore loads in environments without this
package, and after a module of the package was moved or renamed.
"""

from __future__ import annotations

import json
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

#: Types in the models that are safe to load although skops does not trust them by default.
TRUSTED = [
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
]

#: The file in a model's folder that contains the model's output for its input example, in the JSON
#: format of MLflow's responses. Trackbox serves a version only if it reproduces this output.
EXAMPLE_SCORES = "example_scores.json"
#: The file in a model's folder that contains the reference profile.
REFERENCE_PROFILE = "reference_profile.json"

SKLEARN_NEEDS = ("mlflow-skinny", "numpy", "pandas", "scikit-learn", "skops")
XGBOOST_NEEDS = ("mlflow-skinny", "numpy", "pandas", "xgboost-cpu")


def pinned(names: tuple[str, ...]) -> list[str]:
    """Requirements for pip that pin packages to their installed versions."""
    return [f"{name}=={version(name)}" for name in names]


def fraud_scores(output: Any) -> np.ndarray:
    """The scores in the output of a model.

    Args:
        output: (n,) or (n, 2) values that `predict` or `predict_proba` returned for n rows.

    Returns:
        (n,) float64; a higher score is more suspect.

    """
    values = np.asarray(output, dtype=np.float64)
    scores: np.ndarray = values[:, -1] if values.ndim == 2 else values
    return scores


def predict_scores(estimator: Any, frame: pd.DataFrame) -> np.ndarray:
    """Score rows with a fitted estimator of `fraud.models.recipes`.

    Args:
        estimator: fitted estimator.
        frame: n rows with at least the columns `FEATURES`.

    Returns:
        (n,) float64; a higher score is more suspect.

    """
    if isinstance(estimator, IsolationForest):
        return fraud_scores(-estimator.score_samples(frame[FEATURES]))
    return fraud_scores(estimator.predict_proba(frame[FEATURES]))


def signature(output: np.ndarray) -> ModelSignature:
    """A signature: input is the features as float64, output has the type and shape of `output`."""
    inputs = Schema([ColSpec(DataType.double, name) for name in FEATURES])
    outputs = Schema([TensorSpec(output.dtype, (-1, *output.shape[1:]))])
    return ModelSignature(inputs=inputs, outputs=outputs)


def save(
    estimator: Any, path: Path, model: Model, example: pd.DataFrame, profile: str = ""
) -> None:
    """Save a fitted estimator with its signature, example and pinned requirements.

    The example's scores are saved, too, and the reference profile if there is one.

    Args:
        estimator: fitted estimator of `fraud.models.recipes`.
        path: a directory that does not exist yet.
        model: MLflow's model description with identifier and metadata; this function adds the rest.
        example: a few rows with at least the columns `FEATURES`.
        profile: reference profile as JSON; empty if there is none.

    """
    rows = example[FEATURES]
    common: dict[str, Any] = {"mlflow_model": model, "input_example": rows}
    if isinstance(estimator, IsolationForest):
        output = -estimator.score_samples(rows)
        _save_isolation(estimator, path, {**common, "signature": signature(output)})
    elif isinstance(estimator, XGBClassifier):
        output = estimator.predict_proba(rows)[:, 1]
        mlflow.xgboost.save_model(
            estimator.get_booster(),
            path,
            model_format="ubj",
            signature=signature(output),
            pip_requirements=pinned(XGBOOST_NEEDS),
            **common,
        )
    else:
        output = estimator.predict_proba(rows)
        mlflow.sklearn.save_model(
            estimator,
            path,
            pyfunc_predict_fn="predict_proba",
            skops_trusted_types=TRUSTED,
            signature=signature(output),
            pip_requirements=pinned(SKLEARN_NEEDS),
            **common,
        )
    Path(path, EXAMPLE_SCORES).write_text(json.dumps({"predictions": output.tolist()}))
    if profile:
        Path(path, REFERENCE_PROFILE).write_text(profile)


def _save_isolation(forest: IsolationForest, path: Path, common: dict[str, Any]) -> None:
    """Save the forest as a Python model with the code of `anomaly.py`, which calls `score_samples`.

    MLflow's flavour for scikit-learn cannot call this method.
    """
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder, "forest.skops")
        skops.io.dump(forest, stored)
        mlflow.pyfunc.save_model(
            path,
            python_model=str(Path(__file__).with_name("anomaly.py")),
            artifacts={"forest": str(stored)},
            pip_requirements=pinned(SKLEARN_NEEDS),
            **common,
        )
