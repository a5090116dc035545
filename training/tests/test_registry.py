"""Promotion, rollback, and prediction with the champion."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from fraud.cli.main import run
from fraud.settings import Settings
from fraud.tracking import registry


@pytest.fixture
def own_model(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a registered model of this test's own, because the tests share a server."""
    import fraud.predict
    import fraud.promote

    for module in (registry, fraud.promote, fraud.predict):
        monkeypatch.setattr(module, "NAME", settings.experiment)
    return settings.experiment


def train(data: Path, model: str) -> None:
    assert run(["train", "--data", str(data), "--models", model, "--quiet", "--json"]) == 0


def test_a_better_model_is_promoted_a_worse_one_is_not_and_rollback_swaps(
    own_model: str,
    client: MlflowClient,
    small_csv: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def champion() -> str:
        return str(client.get_model_version_by_alias(own_model, "champion").version)

    assert run(["promote"]) == 5
    assert "no finished comparison" in capsys.readouterr().err
    assert run(["predict", str(small_csv)]) == 5
    assert "has no champion" in capsys.readouterr().err
    assert run(["rollback"]) == 5

    train(small_csv, "isolation-forest")
    assert run(["promote", "--dry-run"]) == 0
    assert not client.search_registered_models(f"name='{own_model}'")
    assert run(["promote"]) == 0
    assert champion() == "1"
    assert run(["rollback"]) == 5
    assert run(["promote"]) == 0
    assert "champion already" in capsys.readouterr().out

    train(small_csv, "xgboost")
    assert run(["promote"]) == 0
    assert champion() == "2"
    assert client.get_model_version_by_alias(own_model, "previous").version == "1"
    tags = client.get_model_version(own_model, "2").tags
    assert tags["decision"] == "promoted"
    assert float(tags["decision.gain.low"]) > 0

    train(small_csv, "dummy")
    assert run(["promote"]) == 6
    assert "stays a challenger" in capsys.readouterr().err
    assert champion() == "2"
    tags = client.get_model_version(own_model, "3").tags
    assert tags["decision"] == "not promoted"
    assert float(tags["decision.gain.high"]) < 0
    capsys.readouterr()
    assert run(["promote", "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == "3", "the version is used again"
    assert champion() == "3"

    assert run(["rollback"]) == 0
    assert champion() == "2"
    check_prediction(small_csv, tmp_path, capsys)


def test_a_comparison_is_promoted_by_its_run(
    own_model: str,
    settings: Settings,
    client: MlflowClient,
    small_csv: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for model in ("logistic", "dummy"):
        train(small_csv, model)
    experiment = client.get_experiment_by_name(settings.experiment)
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    older, model = (run.info.run_id for run in runs[:2])
    capsys.readouterr()
    assert run(["promote", older, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "logistic"
    assert run(["promote", model]) == 5
    assert "is no finished comparison" in capsys.readouterr().err
    assert run(["promote", "0" * 32]) == 5
    assert "There is no run 000" in capsys.readouterr().err


def check_prediction(data: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CSV and Parquet output contain the same score for every row, and the model's version."""
    capsys.readouterr()
    outputs = [folder / "o.csv", folder / "o.parquet"]
    for output in outputs:
        assert run(["predict", str(data), "-o", str(output), "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["rows"] == 5000
    first, second = pd.read_csv(outputs[0]), pd.read_parquet(outputs[1])
    np.testing.assert_allclose(first["score"], second["score"])
    assert set(first["model_version"]) == set(second["model_version"]) == {2}
    assert first["decision"].sum() == result["flagged"]
    np.testing.assert_array_equal(first["decision"], first["score"] >= result["threshold"])
    assert sorted(path.name for path in folder.iterdir()) == ["o.csv", "o.parquet", "small.csv"]
    check_bad_input(data, folder, capsys)


def check_bad_input(data: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Faulty input ends with an error message and leaves no partial output."""
    frame, before = pd.read_csv(data), set(folder.iterdir())
    bad = folder / "bad.csv"
    cases = [
        (frame.drop(columns="V9"), "lacks 1 of 29 columns: V9", 3),
        (frame.head(0), "a header and no rows", 3),
        (frame.assign(V2=np.inf), "row 1, column V2 is inf", 3),
        (frame.astype(object).assign(V2="x"), "column V2 holds 'x'", 3),
    ]
    for wrong, said, code in cases:
        wrong.to_csv(bad, index=False)
        assert run(["predict", str(bad), "-o", str(folder / "never.csv")]) == code
        assert said in capsys.readouterr().err
    bad.unlink()
    assert run(["predict", str(data), "-o", str(data)]) == 3
    assert "is the input itself" in capsys.readouterr().err
    assert run(["predict", str(data), "-o", str(folder / "missing" / "o.csv")]) == 7
    assert "cannot be written" in capsys.readouterr().err
    assert set(folder.iterdir()) == before
    unlabelled = folder / "unlabelled.csv"
    frame.drop(columns=["Class", "Time"]).assign(Note=1).to_csv(unlabelled, index=False)
    assert run(["predict", str(unlabelled), "-o", str(folder / "o.csv")]) == 0
