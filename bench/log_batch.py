"""Measure the metrics per second that four clients log with `log_batch`, 500 metrics in each request."""

from __future__ import annotations

import statistics

from harness import Bench
from report import Result, Target, spread

CLIENTS, CALLS, BATCH = 4, 6, 500

MISS_REASON = (
    "both cores are busy. A batch of 500 takes 39 ms of CPU time in MLflow, 21 in MySQL and 3 in NGINX (systemd's "
    "accounting of the units). Before trackbox_mlflow/metrics.py MLflow took 70 to 100 ms, of which SQLAlchemy "
    "took 28 % to track each metric as an object (py-spy, 12 s). The rest is MLflow's JSON, its checks, an object for "
    "each metric, and MySQL's three indexes."
)


def measure(bench: Bench) -> Result:
    """Measure how many thousand metrics are logged per second; results are medians of five rounds."""
    with bench.experiment() as number, bench.bare() as bare:
        peers = {
            "through the front door": bench.door() | {"experiment": number},
            "our server without NGINX": {"url": "http://127.0.0.1:5000", "experiment": number},
            "bare `mlflow server`": bare | {"experiment": "0"},
        }
        settings = {"peers": peers, "clients": CLIENTS, "calls": CALLS, "rounds": 5, "batch": BATCH}
        found = bench.client(settings)
    rates = {name: [CLIENTS * CALLS * BATCH / taken[0] / 1000 for taken in each] for name, each in found.items()}
    door, ours, bare_rate = (statistics.median(values) for values in rates.values())
    table = ["| server | thousand metrics a second (rounds) |", "| --- | --- |"]
    table += [f"| {name} | {spread(values)} |" for name, values in rates.items()]
    return Result(
        [
            Target("throughput, relative to the bare server", door / bare_rate, 1.5, at_least=True),
            Target("throughput, relative to our server without NGINX", door / ours, 0.9, at_least=True),
        ],
        "\n".join(table),
        miss_reason=MISS_REASON,
    )
