"""Small models in a real registry, for the tests of serving: valid models, and models that must be refused."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import Model, infer_signature
from sklearn.linear_model import LogisticRegression

ROWS = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})
Change = Callable[[Path], None]


def regression(weight: float) -> LogisticRegression:
    """Return a logistic regression on the column `a`: its logit is weight * (a - 1.5)."""
    model = LogisticRegression().fit(ROWS.to_numpy(), [0, 0, 1, 1])
    model.coef_, model.intercept_ = np.array([[weight, 0.0]]), np.array([-1.5 * weight])
    return model


def save(folder: Path, weight: float = 1, threshold: float | None = 0.5, **options: Any) -> None:
    """Save a scikit-learn model with the same options as the package `fraud`."""
    model = regression(weight)
    given: dict[str, Any] = {
        "pyfunc_predict_fn": "predict_proba",
        "signature": infer_signature(ROWS, model.predict_proba(ROWS.to_numpy())),
        "input_example": ROWS,
        "serialization_format": "skops",
        "pip_requirements": [f"scikit-learn=={version('scikit-learn')}"],
    }
    metadata = {"threshold": threshold} if threshold is not None else None
    mlflow.sklearn.save_model(model, folder, mlflow_model=Model(metadata=metadata), **{**given, **options})
    scores = model.predict_proba(ROWS.to_numpy()).tolist()
    (folder / "example_scores.json").write_text(json.dumps({"predictions": scores}))


def version(name: str) -> str:
    """Return the installed version of a distribution."""
    from importlib import metadata

    return metadata.version(name)


class Registry:
    """A registered model of a real MLflow server. The model is created if the server has none of this name."""

    def __init__(self, uri: str, name: str) -> None:
        mlflow.set_tracking_uri(uri)
        self.client, self.name = MlflowClient(uri), name
        with contextlib.suppress(MlflowException):
            self.client.create_registered_model(name)

    def add(self, change: Change | None = None, **options: Any) -> str:
        """Log a model and register it; return its version. change: function that edits the folder before the upload."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model")
            save(path, **options)
            if change:
                change(path)
            return self.add_folder(path)

    def add_folder(self, path: Path) -> str:
        """Log a model folder without changes and register it; return the version."""
        run = self.client.create_run("0")
        self.client.log_artifacts(run.info.run_id, str(path), "model")
        source = f"{run.info.artifact_uri}/model"
        return str(self.client.create_model_version(self.name, source, run.info.run_id).version)

    def point(self, version: str, alias: str = "champion") -> None:
        """Point the alias at a version."""
        self.client.set_registered_model_alias(self.name, alias, version)

    def tag(self, version: str) -> str:
        """Return a version's tag `serving`, which the follower writes. Empty if there is no such tag."""
        return str(self.client.get_model_version(self.name, version).tags.get("serving", ""))
