"""A training package that trains nothing: it logs one run to the experiment and server that the environment names."""

import sys

import mlflow


def main() -> None:
    """Log a run with the metric `loudness`, the length of the greeting, and print its identifier."""
    greeting = " ".join(sys.argv[1:]) or "hello"
    with mlflow.start_run(run_name=greeting) as run:
        mlflow.log_metric("loudness", len(greeting))
    print(run.info.run_id)
