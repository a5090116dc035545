"""A tracked or registered model, fetched from the server and ready to score rows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow.artifacts
import mlflow.pyfunc
import mlflow.xgboost
import numpy as np
import pandas as pd
from mlflow.models import Model

from fraud.errors import RegistryError
from fraud.models.flavours import fraud_scores

#: From n rows to (n,) scores.
Score = Callable[[pd.DataFrame], np.ndarray]


@dataclass(frozen=True)
class Scorer:
    """A model that scores.

    Attributes:
        score: (n,) suspicion of n rows that have `columns`, all numbers finite.
        columns: that the model's signature asks for, in its order.
        metadata: that was stored with it: threshold, cost, data and split it was trained with.
    """

    score: Score
    columns: list[str]
    metadata: dict[str, Any]

    @property
    def threshold(self) -> float:
        """What scores at least this is flagged."""
        return float(self.metadata["threshold"])


def fetch(uri: str, tracking_uri: str) -> Scorer:
    """Download a model and load it.

    Args:
        uri: `models:/NAME/VERSION`, `models:/NAME@ALIAS` or `models:/MODEL-ID`.
        tracking_uri: of the server that has it.

    Raises:
        RegistryError: it has no signature or no threshold, so it is none of ours.
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
        return Scorer(_scores_of(Path(path), description, columns), columns, metadata)


def _scores_of(
    path: Path, model: Model, columns: list[str]
) -> Callable[[pd.DataFrame], np.ndarray]:
    if "xgboost" in model.flavors:
        # Twice as fast as through pyfunc, which copies the rows into a DMatrix first.
        booster = mlflow.xgboost.load_model(str(path))
        return lambda frame: fraud_scores(
            booster.inplace_predict(frame[columns].to_numpy(), validate_features=False)
        )
    loaded = mlflow.pyfunc.load_model(str(path))
    return lambda frame: fraud_scores(loaded.predict(frame[columns]))
