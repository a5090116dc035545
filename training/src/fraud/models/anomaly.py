"""The code of a saved isolation forest: MLflow stores this file with the model.

This file imports nothing from `fraud`, so the model also loads in environments without `fraud`.
"""

from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import skops.io
from mlflow.models import set_model

#: Types in an isolation forest that are safe to load although skops does not trust them by default.
TRUSTED = ["sklearn.tree._tree.Tree"]


class Anomaly(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Score rows from 0 to 1. A row that few cuts isolate gets a high score."""

    def load_context(self, context: Any) -> None:
        """Load the forest that is stored with the model."""
        self.forest = skops.io.load(context.artifacts["forest"], trusted=TRUSTED)

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> np.ndarray:
        """Score n rows; return (n,) float64."""
        scores: np.ndarray = -self.forest.score_samples(model_input)
        return scores


set_model(Anomaly())
