"""The training procedure that `fraud` replaces, as its users ran it, including its mistakes.

It trains six models one after the other. The forest uses one core, logistic regression gets unscaled columns, each
parameter and metric is logged by its own request, and MLflow infers the models' requirements. Only the formats of
stored models differ from the original, because the current MLflow crashes on the old formats.

Usage: replaced.py FILE.csv, with MLflow's environment variables set.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import mlflow
import mlflow.sklearn
import mlflow.xgboost
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    average_precision_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.model_selection import train_test_split
from xgboost import XGBClassifier


def models() -> dict[str, Any]:
    """Return the three kinds of models of the old procedure."""
    return {
        "logistic": LogisticRegression(max_iter=1000),
        "forest": RandomForestClassifier(n_estimators=40, random_state=0),
        "xgboost": XGBClassifier(n_estimators=100, random_state=0),
    }


def undersampled(frame: pd.DataFrame) -> pd.DataFrame:
    """Return all frauds, and 19 other rows for each fraud."""
    frauds = frame[frame["Class"] == 1]
    others = frame[frame["Class"] == 0].sample(len(frauds) * 19, random_state=0)
    return pd.concat([frauds, others])


def track(name: str, model: Any, train: pd.DataFrame, test: pd.DataFrame) -> None:
    """Fit, score and log one model."""
    with mlflow.start_run(run_name=name):
        model.fit(train.drop(columns="Class"), train["Class"])
        for key, value in model.get_params().items():
            mlflow.log_param(key, value)
        rows, truth = test.drop(columns="Class"), test["Class"]
        scores, said = model.predict_proba(rows)[:, 1], model.predict(rows)
        mlflow.log_metric("average_precision", average_precision_score(truth, scores))
        mlflow.log_metric("roc_auc", roc_auc_score(truth, scores))
        mlflow.log_metric("precision", precision_score(truth, said, zero_division=0))
        mlflow.log_metric("recall", recall_score(truth, said))
        mlflow.log_metric("f1", f1_score(truth, said))
        ConfusionMatrixDisplay.from_predictions(truth, said)
        with tempfile.TemporaryDirectory() as folder:
            plt.savefig(Path(folder, "confusion_matrix.png"))
            mlflow.log_artifact(str(Path(folder, "confusion_matrix.png")))
        plt.close()
        if name.startswith("xgboost"):
            mlflow.xgboost.log_model(model, name="model")
        else:
            mlflow.sklearn.log_model(model, name="model", serialization_format="cloudpickle")


def main() -> None:
    """Train the six models, one after the other."""
    frame = pd.read_csv(sys.argv[1])
    train, test = train_test_split(frame, test_size=0.2, random_state=0, stratify=frame["Class"])
    mlflow.set_experiment("replaced")
    for suffix, rows in (("", train), ("-undersampled", undersampled(train))):
        for name, model in models().items():
            track(name + suffix, model, rows, test)


if __name__ == "__main__":
    main()
