"""Log a metric and an artifact with MLFLOW_TRACKING_TOKEN, read both back, and print the metric."""

import mlflow

with mlflow.start_run() as run:
    mlflow.log_metric("m", 0.5)
    mlflow.log_text("text", "note.txt")
assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/note.txt") == "text"
print(mlflow.get_run(run.info.run_id).data.metrics["m"])
