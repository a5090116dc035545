"""The training command, run on the machine by SSH, and its runs and models in MLflow."""

import json
from pathlib import Path
from typing import Any

import pytest
from machine import Machine
from testinfra.host import Host

SIX = {f"{model}{rows}" for model in ("logistic", "forest", "xgboost") for rows in ("", "-undersampled")}
METRICS = {"average_precision", "roc_auc", "precision", "recall", "f1"}


@pytest.fixture(scope="module")
def trained(host: Host) -> dict[str, Any]:
    """Run `fraud train`; return run, model id and metrics by model name."""
    result = json.loads(host.check_output("fraud train --profile seed --json"))
    return {outcome["name"]: outcome for outcome in result["outcomes"]}


def get(machine: Machine, path: str) -> Any:
    """Send a GET request to MLflow's API as admin; return the decoded response."""
    answer = machine.ask(f"/api/2.0/mlflow/{path}", user="admin", password=machine.secret("admin_password"))
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def test_six_models_are_six_finished_runs_with_their_scores(machine: Machine, trained: dict[str, Any]) -> None:
    assert set(trained) == SIX
    for outcome in trained.values():
        run = get(machine, f"runs/get?run_id={outcome['run']}")["run"]
        assert run["info"]["status"] == "FINISHED"
        logged = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
        assert logged.keys() >= METRICS
        assert 0 < logged["average_precision"] <= 1
        assert run["data"]["params"]
        pictures = [file["path"] for file in get(machine, f"artifacts/list?run_id={outcome['run']}")["files"]]
        assert any(Path(picture).suffix == ".png" for picture in pictures), pictures


def test_a_model_gives_the_same_scores_on_both_machines(machine: Machine, host: Host, trained: dict[str, Any]) -> None:
    models = [outcome["model"] for outcome in trained.values()]
    here = json.loads(machine.run_client("client_models.py", *models))
    script = Path(__file__).with_name("client_models.py").read_text()
    there = json.loads(
        host.check_output(
            ". /etc/trackbox/training/fraud.env && /opt/trackbox/training/fraud/environment/bin/python -c %s "
            + " ".join(models),
            script,
        )
    )
    assert here.keys() == there.keys() == set(models)
    for model in models:
        assert len(set(here[model])) > 1, "every row has the same score"
        assert here[model] == pytest.approx(there[model], rel=1e-6)


def test_the_data_are_in_the_bucket(host: Host) -> None:
    assert "rows" in host.check_output("fraud data list")
