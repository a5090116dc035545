"""Create runs, a model and an experiment, each with a file, and delete some. Print their ids by name, as JSON."""

import json

import mlflow
from mlflow import MlflowClient

client = MlflowClient()
ids: dict[str, str] = {}


def run(name: str, experiment: str) -> None:
    """Create a run with a file."""
    ids[name] = client.create_run(experiment).info.run_id
    client.log_text(ids[name], "x" * 1000, "model/file.txt")
    client.log_metric(ids[name], "score", 1.0)


for experiment in ("garbage", "garbage-gone"):
    ids[experiment] = client.create_experiment(f"{experiment} {mlflow.utils.time.get_current_time_millis()}")
for name in ("live", "old", "fresh", "restored", "registered"):
    run(name, ids["garbage"])
run("inside", ids["garbage-gone"])
mlflow.set_experiment(experiment_id=ids["garbage"])
with mlflow.start_run(run_id=ids["live"]):
    for name in ("model", "orphan"):
        logged = mlflow.pyfunc.log_model(name=name, python_model=lambda model_input: model_input, pip_requirements=[])
        ids[name] = logged.model_id
registered = f"garbage-{ids['registered']}"
client.create_registered_model(registered)
client.create_model_version(registered, f"runs:/{ids['registered']}/model", ids["registered"])
for name in ("old", "fresh", "restored", "registered"):
    client.delete_run(ids[name])
client.restore_run(ids["restored"])
client.delete_logged_model(ids["model"])
client.delete_experiment(ids["garbage-gone"])
print(json.dumps(ids))
