"""What the tracker logs arrives in a real MLflow, whatever its amount."""

from mlflow import MlflowClient

from fraud.settings import Settings
from fraud.tracking.tracker import MOST_METRICS, Tracker


def test_more_metrics_than_mlflow_takes_at_once_are_logged(
    settings: Settings, client: MlflowClient
) -> None:
    tracker = Tracker(settings, settings.experiment, {})
    metrics = {f"index.{number}": float(number) for number in range(2 * MOST_METRICS + 5)}
    with tracker.run("wide", "monitoring") as run:
        tracker.log(run, {"model": "fraud"}, metrics)
    found = client.get_run(run).data
    assert (found.metrics, found.params) == (metrics, {"model": "fraud"})
