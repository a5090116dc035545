"""Exact contributions of columns to a score, in log odds. With the base value they add up to the model's raw score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
#: A function from (n, k) rows to n base values and (n, k) contributions.
Explain = Callable[[Array], tuple[Array, Array]]


def explainer(model: Any, columns: list[str]) -> Explain | None:
    """Return a function that computes exact contributions, or None if there is none for this kind of model."""
    kind = f"{type(model).__module__}.{type(model).__name__}"
    if kind == "xgboost.core.Booster" and one_output(model):
        return tree_contributions(model, columns)
    steps = [step for _, step in model.steps] if kind == "sklearn.pipeline.Pipeline" else [model]
    names = [type(step).__name__ for step in steps]
    if names in (["StandardScaler", "LogisticRegression"], ["LogisticRegression"]) and len(steps[-1].coef_) == 1:
        return linear_contributions(steps)
    return None


def one_output(booster: Any) -> bool:
    """Return whether a booster has one output for each row. Only then `pred_contribs` returns two dimensions."""
    import xgboost

    shape = booster.predict(xgboost.DMatrix(np.zeros((1, booster.num_features()))), validate_features=False).shape
    return bool(shape == (1,))


def tree_contributions(booster: Any, columns: list[str]) -> Explain:
    """Return a function that uses XGBoost's own TreeSHAP (Lundberg), whose last column is the base value."""
    import xgboost

    def explain(matrix: Array) -> tuple[Array, Array]:
        names = columns if booster.feature_names else None
        found = booster.predict(xgboost.DMatrix(matrix, feature_names=names, nthread=1), pred_contribs=True)
        return found[:, -1].astype(np.float64), found[:, :-1].astype(np.float64)

    return explain


def linear_contributions(steps: list[Any]) -> Explain:
    """Return a function that multiplies coefficients by values. With a scaler, values are relative to their means."""
    coefficients, base = steps[-1].coef_[0], float(steps[-1].intercept_[0])

    def explain(matrix: Array) -> tuple[Array, Array]:
        rows = steps[0].transform(matrix) if len(steps) == 2 else matrix
        return np.full(len(matrix), base), rows * coefficients

    return explain


def strongest(contributions: Array, matrix: Array, columns: list[str], count: int) -> list[list[dict[str, Any]]]:
    """Return the strongest contributions of each row.

    Args:
        contributions: contributions (n, k).
        matrix: values (n, k).
        columns: names of the k columns.
        count: maximum number of contributions for each row.

    """
    order = np.argsort(-np.abs(contributions), axis=1, kind="stable")[:, :count]
    return [
        [
            {
                "column": columns[i],
                "value": None if np.isnan(row[i]) else float(row[i]),
                "contribution": float(added[i]),
            }
            for i in chosen
        ]
        for chosen, row, added in zip(order, matrix, contributions, strict=True)
    ]
