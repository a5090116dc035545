"""A loaded model. It scores a plain matrix of numbers on a fast path, and other rows with MLflow's own functions.

The fast path is used only if it gave the same output as MLflow's functions for test rows when the model was loaded.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trackbox_serving.models import explaining, fast
from trackbox_serving.models.allowed import ModelError, safe_copy

logger = logging.getLogger("trackbox")

Matrix: TypeAlias = NDArray[np.float64]
#: A function from a float64 matrix (n, k) to the output of MLflow's `predict` for the same rows.
Predict = Callable[[Matrix], Any]

FLOAT32_MAX = float(np.finfo(np.float32).max)
TRIED = 32  # number of test rows
TOLERANCE = 1e-12


@dataclass(frozen=True)
class Column:
    """A column of the signature. kind: `double`, `float`, `long`, `integer`, or another of MLflow's types."""

    name: str
    kind: str
    required: bool = True


@dataclass
class Scorer:
    """A loaded model.

    Attributes:
        pyfunc: model as MLflow has loaded it.
        columns: columns of the signature. Empty if it has no named columns.
        predict: function of the fast path, or None if there is none for this model.
        explain: function that computes exact contributions (see `explaining`), or None if there is none.

    """

    pyfunc: Any
    columns: list[Column]
    predict: Predict | None = None
    explain: Callable[[Matrix], tuple[NDArray[np.float64], NDArray[np.float64]]] | None = None
    example: pd.DataFrame | None = None
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = [column.name for column in self.columns]

    @property
    def numeric(self) -> bool:
        """Whether all columns of the signature are numbers that fit into a matrix of float64."""
        return bool(self.columns) and all(column.kind in ("double", "long", "integer") for column in self.columns)

    def frame(self, matrix: Matrix) -> pd.DataFrame:
        """Return the rows of a matrix (n, k) as the data frame that MLflow's functions accept."""
        kinds = {"double": np.float64, "long": np.int64, "integer": np.int32}
        frame = pd.DataFrame(matrix, columns=self.names, copy=False)
        return frame.astype({one.name: kinds[one.kind] for one in self.columns if one.kind != "double"})


def load(folder: Path, allow_code: bool) -> Scorer:
    """Load a model, and choose and test its fast path.

    Args:
        folder: MLflow's folder of the model.
        allow_code: whether code that was logged with the model may run.

    Raises:
        ModelError: the model must not or cannot be loaded.

    """
    import mlflow.pyfunc

    with safe_copy(folder, allow_code) as copy:
        try:
            pyfunc = mlflow.pyfunc.load_model(str(copy), suppress_warnings=True)
        except Exception as error:
            first = str(error).splitlines()[0] if str(error) else ""
            raise ModelError(f"MLflow cannot load the model: {type(error).__name__}: {first}") from error
    scorer = Scorer(pyfunc, signature_columns(pyfunc.metadata.get_input_schema()))
    example = pyfunc.input_example
    if isinstance(example, pd.DataFrame) and set(scorer.names) <= set(example.columns):
        scorer.example = example[scorer.names]
    if not scorer.numeric or pyfunc.metadata.get_params_schema() is not None:
        return scorer
    raw = raw_model(pyfunc)
    function = pyfunc.metadata.flavors["python_function"].get("predict_fn", "predict")
    fast.use_one_thread(raw)
    rows = tried_rows(scorer)
    scorer.predict = first_equal(fast.candidates(raw, function, scorer.names), scorer, rows)
    if scorer.predict:
        scorer.explain = explaining.explainer(raw, scorer.names)
    return scorer


def raw_model(pyfunc: Any) -> Any:
    """Return the model object of its library, or None for a model that is only a Python function."""
    try:
        return pyfunc.get_raw_model()
    except Exception:
        return None


def signature_columns(schema: Any) -> list[Column]:
    """Return the columns of a signature. Empty if there is no signature, or if its inputs are tensors or unnamed."""
    if schema is None or schema.is_tensor_spec() or not schema.has_input_names():
        return []
    return [Column(one.name, getattr(one.type, "name", str(one.type)), one.required) for one in schema.inputs]


def tried_rows(scorer: Scorer) -> Matrix:
    """Return TRIED test rows: those of the input example, and random rows around them."""
    random = np.random.default_rng(0)
    known = np.zeros((1, len(scorer.names)))
    if scorer.example is not None and len(scorer.example):
        known = np.nan_to_num(scorer.example.to_numpy(dtype=np.float64)[: TRIED // 2])
    rows = known[random.integers(len(known), size=TRIED - len(known))]
    moved = rows + random.standard_normal(rows.shape) * (1 + np.abs(known).mean(axis=0))
    whole = [column.kind != "double" for column in scorer.columns]
    moved[:, whole] = np.round(moved[:, whole])
    return np.vstack([known, moved])


def first_equal(candidates: Iterable[Predict], scorer: Scorer, rows: Matrix) -> Predict | None:
    """Return the first function that gives MLflow's output both for all rows and for the first row alone, or None."""
    try:
        wanted = [scorer.pyfunc.predict(scorer.frame(part)) for part in (rows, rows[:1])]
    except Exception as error:
        print(f"the model does not score the rows of its example: {type(error).__name__}", file=sys.stderr)
        return None
    for predict in candidates:
        try:
            if all(same(predict(part), one) for part, one in zip((rows, rows[:1]), wanted, strict=True)):
                return predict
        except Exception as error:
            logger.debug("%s: %r", predict, error)
    print(
        "the fast path is off, because its output differs from MLflow's: MLflow's own functions answer all requests",
        file=sys.stderr,
    )
    return None


def same(one: Any, other: Any) -> bool:
    """Return whether two outputs contain the same numbers, in arrays or tables of the same type and shape."""
    if isinstance(one, pd.DataFrame) and isinstance(other, pd.DataFrame):
        return list(one.columns) == list(other.columns) and all(same(one[c].array, other[c].array) for c in one.columns)
    if type(one) is not type(other) or one.dtype != other.dtype or one.shape != other.shape:
        return False
    return bool(np.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True))
