"""An isolation forest as a model of its own: MLflow stores this file beside the forest.

It imports nothing of `fraud`, so the model loads where `fraud` is not installed.
"""

from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import skops.io
from mlflow.models import set_model

#: Types in an isolation forest that skops does not know to be harmless.
TRUSTED = ["sklearn.tree._tree.Tree"]


class Anomaly(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Gives each row a score from 0 to 1, higher for what is set apart with fewer cuts."""

    def load_context(self, context: Any) -> None:
        """Read the forest that was stored with the model."""
        self.forest = skops.io.load(context.artifacts["forest"], trusted=TRUSTED)

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> np.ndarray:
        """(n,) scores of n rows."""
        scores: np.ndarray = -self.forest.score_samples(model_input)
        return scores


set_model(Anomaly())
