"""An unmodified MLflow client logs a run with an artifact, reads both back, and prints them as JSON."""

import json
import tempfile
from pathlib import Path

import mlflow

mlflow.set_experiment("clients")
with mlflow.start_run() as run:
    mlflow.log_param("colour", "blue")
    mlflow.log_metric("Loss", 0.5)
    mlflow.log_metric("loss", 0.25)
    mlflow.log_text("an artifact", "note.txt")
read = mlflow.get_run(run.info.run_id)
with tempfile.TemporaryDirectory() as folder:
    note = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="note.txt", dst_path=folder))
    text = note.read_text()
print(
    json.dumps(
        {
            "run": run.info.run_id,
            "params": read.data.params,
            "metrics": read.data.metrics,
            "status": read.info.status,
            "artifact": text,
            "user": read.data.tags["mlflow.user"],
            "artifact_uri": read.info.artifact_uri,
        }
    )
)
