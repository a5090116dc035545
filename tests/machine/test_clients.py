"""Unmodified clients outside the machine, with the environment variables of `make env`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from machine import Machine


@pytest.fixture(scope="module")
def oldest_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment with the oldest MLflow client that docs/clients.md names."""
    uv, folder = str(Path(sys.executable).with_name("uv")), str(tmp_path_factory.mktemp("oldest"))
    lock = str(Path(__file__).with_name("old-client.txt"))
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True, timeout=60)
    install = [uv, "pip", "install", "--quiet", "--require-hashes", "--python", folder, "--requirement", lock]
    subprocess.run(install, check=True, timeout=120)
    return Path(folder, "bin/python")


def test_the_oldest_mlflow_client_logs_a_run_with_an_artifact(machine: Machine, oldest_client: Path) -> None:
    read = json.loads(machine.run_python(oldest_client, "client_mlflow.py").splitlines()[-1])
    assert (read["params"], read["metrics"]) == ({"colour": "blue"}, {"Loss": 0.5, "loss": 0.25})
    assert (read["status"], read["artifact"]) == ("FINISHED", "an artifact")


def test_an_mlflow_client_logs_a_run_with_an_artifact(machine: Machine) -> None:
    # The first line of the output is a link to the run, so the JSON is in the last line.
    read = json.loads(machine.run_client("client_mlflow.py").splitlines()[-1])
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


def test_a_metric_logged_several_times_is_stored_once(machine: Machine) -> None:
    said = json.loads(machine.run_client("client_metrics.py"))
    assert said["history"]["loss"] == [[step, 1 / step] for step in range(1, 251)]
    assert sorted(said["history"]["Loss"]) == [[0, 6], [1, 7], [2, 8]]
    assert said["latest"] == {"loss": str(1 / 250), "Loss": "8.0", "none": "nan", "all": str(sys.float_info.max)}
