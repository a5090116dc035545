"""Rows a second of `fraud predict` and of the bare champion, on the same Parquet file, as JSON.

Usage: predict_rate.py ROWS.parquet OUTPUT.parquet, in a process of its own: the peak of its
memory is part of the result. Both are warmed up; importing Python's modules is not counted,
fetching the champion is. The bare model is asked for `predict_proba` (of scikit-learn's
interface, which XGBoost has too) in chunks of the same size, and only those calls are timed.
"""

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import mlflow.artifacts
import mlflow.sklearn
import mlflow.xgboost
import pandas as pd
from fraud.chunks import chunks
from fraud.predict import predict
from fraud.schema import FEATURES
from fraud.settings import Settings
from xgboost import XGBClassifier


def bare_model() -> Any:
    """The champion without anything around it."""
    with tempfile.TemporaryDirectory() as folder:
        path = mlflow.artifacts.download_artifacts("models:/fraud@champion", dst_path=folder)
        if not Path(path, "model.ubj").exists():
            return mlflow.sklearn.load_model(path)
        model = XGBClassifier()
        model.load_model(Path(path, "model.ubj"))
        return model


def seconds_of(model: Any, frame: pd.DataFrame) -> float:
    """Of one call of `predict_proba`."""
    began = time.perf_counter()
    model.predict_proba(frame)
    return time.perf_counter() - began


def main() -> None:
    """Measure both and print them."""
    source, output = Path(sys.argv[1]), Path(sys.argv[2])
    began = time.perf_counter()
    result = predict(source, output, Settings.from_env(os.environ), lambda _: None)
    ours = result.rows / (time.perf_counter() - began)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    model = bare_model()
    spent = sum(seconds_of(model, frame) for frame in chunks(source, FEATURES))
    print(json.dumps({"ours": ours, "bare": result.rows / spent, "memory": memory}))


if __name__ == "__main__":
    main()
