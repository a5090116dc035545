"""Download a tracked or registered model and load it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mlflow.artifacts
import mlflow.pyfunc
import mlflow.xgboost
import numpy as np
import pandas as pd
from mlflow.models import Model

from fraud.errors import RegistryError
from fraud.models.flavours import fraud_scores

#: A function that returns (n,) scores for n rows.
Predict = Callable[[pd.DataFrame], np.ndarray]


@dataclass(frozen=True)
class LoadedModel:
    """A model that scores rows.

    Attributes:
        predict: function of n rows of finite numbers with at least `columns`, which returns (n,)
            float64; a higher score is more suspect.
        columns: columns of the model's signature, in its order.
        metadata: values stored with the model: threshold, cost, and training data and split.

    """

    predict: Predict
    columns: list[str]
    metadata: dict[str, Any]

    @property
    def threshold(self) -> float:
        """The lowest score that is flagged as fraud."""
        return float(self.metadata["threshold"])


def load_model(uri: str, tracking_uri: str) -> LoadedModel:
    """Download and load a model.

    Args:
        uri: `models:/NAME/VERSION`, `models:/NAME@ALIAS` or `models:/MODEL-ID`.
        tracking_uri: address of the tracking server.

    Raises:
        RegistryError: the model has no signature or no threshold, so `fraud` did not save it.

    """
    with tempfile.TemporaryDirectory() as folder:
        path = mlflow.artifacts.download_artifacts(
            artifact_uri=uri, dst_path=folder, tracking_uri=tracking_uri
        )
        description = Model.load(path)
        metadata = description.metadata or {}
        if description.signature is None or "threshold" not in metadata:
            raise RegistryError(
                f"The model {uri} has no signature or no threshold",
                "Train and promote one with `fraud`.",
            )
        columns = description.signature.inputs.input_names()
        return LoadedModel(_predict_of(path, description, columns), columns, metadata)


def _predict_of(path: str, description: Model, columns: list[str]) -> Predict:
    if "xgboost" in description.flavors:
        # Call the booster directly. Scoring by pyfunc takes twice as long, because pyfunc first
        # copies the rows into a DMatrix.
        booster = mlflow.xgboost.load_model(path)
        return lambda frame: fraud_scores(
            booster.inplace_predict(frame[columns].to_numpy(), validate_features=False)
        )
    loaded = mlflow.pyfunc.load_model(path)
    return lambda frame: fraud_scores(loaded.predict(frame[columns]))
