"""As a viewer, read a run and its artifact, and try to write, with an unmodified MLflow client; print JSON.

client_viewer.py RUN
"""

import json
import sys
import tempfile
from pathlib import Path

import mlflow

run_id = sys.argv[1]
run = mlflow.get_run(run_id)
with tempfile.TemporaryDirectory() as folder:
    artifact = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="note.txt", dst_path=folder)
    text = Path(artifact).read_text()
mlflow.search_runs(experiment_ids=[run.info.experiment_id])
try:
    mlflow.MlflowClient().log_metric(run_id, "loss", 0.0)
    refusal = ""
except mlflow.MlflowException as error:
    refusal = str(error)
print(json.dumps({"artifact": text, "metrics": mlflow.get_run(run_id).data.metrics, "refusal": refusal}))
