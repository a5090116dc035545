"""Log metrics in batches, some metrics twice, some with the value NaN or infinity. Print the metrics as JSON."""

import json
import math

import mlflow
from mlflow.entities import Metric

client = mlflow.MlflowClient()
run = client.create_run(client.create_experiment(f"metrics {mlflow.utils.time.get_current_time_millis()}"))
name = run.info.run_id


def batch(*metrics: tuple[str, float, int]) -> None:
    """Log metrics in one call. Each metric gets its step as its timestamp, too."""
    client.log_batch(name, metrics=[Metric(key, value, step, step) for key, value, step in metrics])


batch(
    *[("loss", 1 / step, step) for step in range(1, 201)], ("Loss", 7, 1), ("none", math.nan, 1), ("all", math.inf, 1)
)
# In this batch, steps 150 to 200 are already stored, one value occurs twice, and one is older than the latest value.
batch(*[("loss", 1 / step, step) for step in range(150, 251)], ("Loss", 8, 2), ("Loss", 8, 2), ("Loss", 6, 0))
client.log_metric(name, "Loss", 8, 2, 2)
history = {key: [(one.step, one.value) for one in client.get_metric_history(name, key)] for key in ("loss", "Loss")}
latest = {key: str(value) for key, value in client.get_run(name).data.metrics.items()}
client.delete_experiment(run.info.experiment_id)
print(json.dumps({"history": history, "latest": latest}))
