"""A minimal training package: it logs one run to the server and experiment that the environment variables name."""

import sys

import mlflow


def main() -> None:
    """Log a run with the metric `loudness`, the length of the greeting; print the run's identifier."""
    greeting = " ".join(sys.argv[1:]) or "hello"
    with mlflow.start_run(run_name=greeting) as run:
        mlflow.log_metric("loudness", len(greeting))
    print(run.info.run_id)
