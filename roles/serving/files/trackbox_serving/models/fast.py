"""Functions for the fast path, which compute a model's output from a matrix without MLflow's tables and checks.

For one row, XGBoost takes 0.1 ms instead of 4 ms. A forest of 200 trees takes 1 ms instead of 20 ms, because
scikit-learn starts a joblib task for each tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd


def use_one_thread(model: Any) -> None:
    """Make a model compute in the calling thread only, because the processes of a version share the cores."""
    if hasattr(model, "set_param"):
        model.set_param({"nthread": 1})
    elif hasattr(model, "get_params"):
        names = [name for name in model.get_params() if name == "n_jobs" or name.endswith("__n_jobs")]
        model.set_params(**dict.fromkeys(names, 1))


def candidates(model: Any, function: str, columns: list[str]) -> Iterator[Callable[[Any], Any]]:
    """Yield functions that may compute the model's output, the fastest first. `scorer.py` tests whether they do.

    Args:
        model: model object of its library.
        function: name of the method that predicts, MLflow's `predict_fn`.
        columns: names of the columns, in the signature's order.

    """
    kind = f"{type(model).__module__}.{type(model).__name__}"
    if kind == "xgboost.core.Booster":
        # The matrix has no column names, so compare the model's names with the signature here, as MLflow would.
        if model.feature_names in (None, columns):
            yield lambda matrix: model.inplace_predict(matrix, validate_features=False)
    elif kind.endswith("onnxruntime_inference_collection.InferenceSession"):
        yield from onnx_candidates(model)
    elif hasattr(model, function):
        if (
            function == "predict_proba"
            and hasattr(model, "estimators_")
            and kind.startswith("sklearn.ensemble._forest")
        ):
            yield forest(model)
        predict = getattr(model, function)
        yield predict
        yield lambda matrix: predict(pd.DataFrame(matrix, columns=columns, copy=False))


def forest(model: Any) -> Callable[[Any], Any]:
    """Return a function that averages a forest's trees. A tree accepts float32, and returns shares (n, 1, classes)."""
    trees = [tree.tree_ for tree in model.estimators_]

    def predict(matrix: Any) -> Any:
        rows = np.ascontiguousarray(matrix, dtype=np.float32)
        if not np.isfinite(rows).all():
            raise ValueError("a forest may not take these numbers")
        total = np.zeros((len(rows), model.n_classes_))
        for tree in trees:
            values = tree.predict(rows)
            total += values.reshape(total.shape)
        total /= len(trees)
        return total

    return predict


def onnx_candidates(session: Any) -> Iterator[Callable[[Any], Any]]:
    """Yield a function that returns the same table as MLflow's ONNX flavour."""
    inputs, names = session.get_inputs(), [output.name for output in session.get_outputs()]
    types = {"tensor(float)": np.float32, "tensor(double)": np.float64}
    if len(inputs) == 1 and inputs[0].type in types:

        def predict(matrix: Any) -> Any:
            outputs = session.run(names, {inputs[0].name: matrix.astype(types[inputs[0].type])})
            return pd.DataFrame({name: np.asarray(one).reshape(-1) for name, one in zip(names, outputs, strict=True)})

        yield predict
