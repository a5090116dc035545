"""`fraud train`, end to end: the runs, metrics, pictures and models in MLflow."""

import json
import time
from pathlib import Path
from threading import Event
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from fraud import train as training
from fraud.cli.main import run
from fraud.data.schema import FEATURES
from fraud.data.split import split
from fraud.models import fitting
from fraud.models.flavours import REFERENCE_PROFILE, fraud_scores
from fraud.models.recipes import PROFILES
from fraud.settings import Settings
from fraud.types import Fitted, Recipe

METRICS = ("average_precision", "average_precision_low", "average_precision_high", "roc_auc",
           "precision", "recall", "f1", "mcc", "precision_at_100", "recall_at_100",
           "expected_cost", "threshold", "fit_seconds", "score_seconds",
           "model_bytes")  # fmt: skip
QUIET = ["--quiet", "--json"]


def runs_of(client: MlflowClient, settings: Settings) -> tuple[list[Run], list[Run]]:
    """The runs of comparisons and the runs of models in the test's experiment."""
    experiment = client.get_experiment_by_name(settings.experiment)
    if experiment is None:
        return [], []
    found = list(client.search_runs([experiment.experiment_id]))
    return [one for one in found if one.data.tags["role"] == "comparison"], [
        one for one in found if one.data.tags["role"] == "model"
    ]


def test_a_comparison_is_complete_in_mlflow(
    settings: Settings,
    client: MlflowClient,
    small: pd.DataFrame,
    small_csv: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["train", "--data", str(small_csv), "--jobs", "2", *QUIET]) == 0
    result = json.loads(capsys.readouterr().out)
    (parent,), children = runs_of(client, settings)
    names = {recipe.name for recipe in PROFILES["default"]}
    assert {one.info.run_name for one in children} == names
    assert {one.info.status for one in [parent, *children]} == {"FINISHED"}
    assert {one.data.tags["mlflow.parentRunId"] for one in children} == {parent.info.run_id}
    files = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert files == {"precision_recall.png", "calibration.png", "cost.png", "report.html"}
    assert parent.inputs.dataset_inputs[0].dataset.digest == result["data"][:12]
    rows = split(small, "time", 0).test
    for child in children:
        assert set(METRICS) <= set(child.data.metrics)
        tags = child.data.tags
        assert (tags["data"], tags["data.hash"], tags["split"]) == ("real", result["data"], "time")
        pictures = {item.path for item in client.list_artifacts(child.info.run_id)}
        assert {"confusion_matrix.png", "scores.png", "importance.png"} <= pictures
        outcome = next(one for one in result["outcomes"] if one["run"] == child.info.run_id)
        check_model(outcome["model"], child, rows)
    best = max(children, key=lambda one: one.data.metrics["valid_average_precision"])
    assert parent.data.tags["best.run"] == best.info.run_id == result["outcomes"][0]["run"]


def check_model(model: str, child: Run, rows: pd.DataFrame) -> None:
    """Load a model with `mlflow.pyfunc` and check that its scores reproduce the run's metrics."""
    loaded = mlflow.pyfunc.load_model(f"models:/{model}")
    assert loaded.metadata.signature is not None
    assert loaded.metadata.saved_input_example_info is not None
    scores = fraud_scores(loaded.predict(rows))
    check_profile(model, len(rows))
    flagged = scores >= loaded.metadata.metadata["threshold"]
    recall = (flagged & (rows["Class"] == 1)).sum() / rows["Class"].sum()
    assert recall == pytest.approx(child.data.metrics["recall"], abs=1e-12)
    from sklearn.metrics import average_precision_score

    again = average_precision_score(rows["Class"], scores)
    assert again == pytest.approx(child.data.metrics["average_precision"], abs=1e-9)
    assert np.isfinite(scores).all()


def check_profile(model: str, rows: int) -> None:
    """Check that a model's profile has features of 80 % of the rows, and scores of 20 %."""
    folder = mlflow.artifacts.download_artifacts(f"models:/{model}")
    profile = json.loads(Path(folder, REFERENCE_PROFILE).read_text())
    assert [column["name"] for column in profile["columns"]] == FEATURES
    assert {column["rows"] for column in profile["columns"]} == {5000 - rows}
    assert profile["score"]["rows"] == pytest.approx(1000, abs=5)
    assert 0 <= profile["flagged"] <= 1
    # The calibration has the rows of the validation and test parts.
    assert sum(profile["calibration"]["rows"]) == pytest.approx(2 * rows, abs=5)


def test_the_seed_profile_trains_six_models_and_the_table_shows_them(
    settings: Settings, small_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", str(small_csv), "--profile", "seed", "--split", "random"]
    assert run(["train", *options]) == 0
    shown = capsys.readouterr()
    for name in ("logistic", "forest", "xgboost"):
        assert f" {name} " in shown.out
        assert f" {name}-undersampled " in shown.out
        assert f"{name}: average precision 0." in shown.err
    assert f"{settings.tracking_uri}/#/experiments/" in shown.out


def test_the_same_seed_gives_the_same_metrics_twice(
    settings: Settings, client: MlflowClient, small_csv: Path
) -> None:
    options = ["--data", str(small_csv), "--models", "extra-trees", "--seed", "3", *QUIET]
    assert run(["train", *options]) == 0
    assert run(["train", *options]) == 0
    _, children = runs_of(client, settings)
    first, second = (
        {k: v for k, v in one.data.metrics.items() if not k.endswith(("_seconds", "_bytes"))}
        for one in children
    )
    assert first == second


def test_an_error_marks_the_runs_failed(
    settings: Settings,
    client: MlflowClient,
    small_csv: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training, "fit", broken)
    assert run(["train", "--data", str(small_csv), "--models", "dummy"]) == 7
    assert "The disk is full" in capsys.readouterr().err
    (parent,), (child,) = runs_of(client, settings)
    assert parent.info.status == child.info.status == "FAILED"


def test_one_model_s_error_leaves_no_other_run_open(
    settings: Settings,
    client: MlflowClient,
    small_csv: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, other_runs = fitting.fit, Event()

    def broken(recipe: Recipe, *rest: Any) -> Fitted:
        if recipe.name == "dummy":
            other_runs.wait(30)
            raise ValueError("cannot be fitted")
        other_runs.set()
        time.sleep(2)
        return real(recipe, *rest)

    monkeypatch.setattr(training, "fit", broken)
    options = ["--data", str(small_csv), "--models", "dummy,logistic", "--jobs", "2"]
    assert run(["train", *options]) == 1
    parents, children = runs_of(client, settings)
    assert [one.info.status for one in parents + children] == ["FAILED"] * 3


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--data", "no-such-file.csv"], 3, "does not exist"),
        (["--models", "oracle"], 3, "has no model 'oracle'"),
        (["--profile", "best"], 2, "Invalid value"),
        (["--jobs", "0"], 2, "Invalid value"),
        (["--cost-fn", "-1"], 2, "Invalid value"),
    ],
)
def test_a_wrong_option_opens_no_run(
    settings: Settings,
    client: MlflowClient,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    code: int,
    said: str,
) -> None:
    assert run(["train", *options]) == code
    assert said in capsys.readouterr().err
    assert runs_of(client, settings) == ([], [])
