"""Clients from outside, unchanged, with what `make env` prints."""

import json

from machine import Machine


def test_an_mlflow_client_logs_a_run_with_an_artifact(machine: Machine) -> None:
    read = json.loads(machine.run_client("client_mlflow.py").splitlines()[-1])  # above it, the link to the run
    assert read["params"] == {"colour": "blue"}
    assert read["metrics"] == {"Loss": 0.5, "loss": 0.25}
    assert (read["status"], read["artifact"]) == ("FINISHED", "an artifact")
    assert read["artifact_uri"].startswith("mlflow-artifacts:")


def test_an_s3_client_lists_the_data_sets(machine: Machine) -> None:
    settings = machine.settings
    answers = machine.run_client(
        "client_s3.py",
        settings["AWS_ACCESS_KEY_ID"],
        settings["AWS_SECRET_ACCESS_KEY"],
        "list_objects_v2 Bucket=datasets",
    )
    assert json.loads(answers) == ["ok"]
