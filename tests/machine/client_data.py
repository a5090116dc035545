"""Write sample data, or print all names, values and SHA-256 of artifacts as JSON.

client_data.py write|read
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

EXPERIMENTS, RUNS, STEPS = 3, 10, 200


def write(client: MlflowClient) -> None:
    """Log experiments with runs, metrics, parameters, tags and artifacts, and a registered model with an alias."""
    for number in range(EXPERIMENTS):
        experiment = client.create_experiment(f"year-{number}", tags={"kept": "yes"})
        for index in range(RUNS):
            run = client.create_run(experiment, run_name=f"run {index} äöü").info.run_id
            metrics = [
                Metric(name, number + index / 7 + step / 3, step, step)
                for step in range(STEPS)
                for name in ("Loss", "loss")
            ]
            client.log_batch(run, metrics[:1000], [Param("depth", str(index))], [RunTag("note", "of a year ago")])
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "notes.bin"
                path.write_bytes(hashlib.sha256(f"{number}.{index}".encode()).digest() * 1000)
                client.log_artifact(run, str(path), "files")
            client.set_terminated(run)
    client.create_registered_model("kept", description="of a year ago")
    client.create_model_version("kept", f"runs:/{run}/files", run)
    client.set_registered_model_alias("kept", "champion", "1")


def read(client: MlflowClient) -> dict[str, Any]:
    """Return all data that `write` creates, as read from the server."""
    found: dict[str, Any] = {}
    for experiment in client.search_experiments(order_by=["name"]):
        runs = client.search_runs([experiment.experiment_id], order_by=["attributes.run_name"])
        for run in runs:
            name, what = f"{experiment.name}/{run.info.run_name}", run.data
            history = [
                [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run.info.run_id, key)]
                for key in sorted(what.metrics)
            ]
            files = [file.path for file in client.list_artifacts(run.info.run_id, "files")]
            kept = {
                path: hashlib.sha256(
                    Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=path)).read_bytes()
                ).hexdigest()
                for path in files
            }
            tags = {key: value for key, value in what.tags.items() if not key.startswith("mlflow.")}
            found[name] = {
                "id": run.info.run_id,
                "status": run.info.status,
                "params": what.params,
                "tags": tags,
                "metrics": history,
                "files": kept,
            }
    for model in client.search_registered_models():
        found[f"model {model.name}"] = model.description
        for alias, number in model.aliases.items():
            version = client.get_model_version(model.name, number)
            found[f"model {model.name}@{alias}"] = [version.version, version.source, version.run_id]
    return found


if sys.argv[1] == "write":
    write(MlflowClient())
print(json.dumps(read(MlflowClient()), sort_keys=True))
