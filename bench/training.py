"""Measure `fraud train` against the procedure that it replaces, on synthetic data (284,807 rows, 492 frauds).

Both procedures use the same two servers: a bare server of the installed MLflow, without NGINX and with its own
database, and a second MinIO for the data. The bench starts both servers and removes them afterwards.
"""

from __future__ import annotations

import statistics

import s3
from harness import CLIENT, ROOT, Bench
from report import Result, Target

NEEDS_GB = 3
REPLACED, SEED, DEFAULT = "the replaced procedure", "`fraud train --profile seed`", "`fraud train`"
TRAIN = [CLIENT, "-m", "fraud", "train", "--data", "synthetic", "--quiet"]


def measure(bench: Bench) -> Result:
    """Measure seconds of processes; results are medians of two rounds, because the replaced procedure takes 90 s."""
    with bench.bare(loop="") as server, s3.own_tls(bench) as store:
        environment = {
            "MLFLOW_TRACKING_URI": server["url"],
            "AWS_ENDPOINT_URL_S3": store["url"],
            "AWS_ACCESS_KEY_ID": store["key"],
            "AWS_SECRET_ACCESS_KEY": store["secret"],
            "AWS_DEFAULT_REGION": "us-east-1",
            "FRAUD_BUCKET": store["bucket"],
        }
        given = {
            "files": {"replaced.py": (ROOT / "bench/replaced.py").read_text()},
            "procedures": {
                REPLACED: [CLIENT, "FOLDER/replaced.py", "FOLDER/transactions.csv"],
                SEED: [*TRAIN, "--profile", "seed"],
                DEFAULT: [*TRAIN, "--profile", "default"],
            },
            "first": [*TRAIN, "--models", "dummy"],  # stores the data set before the measurement
            "rounds": 2,
            "environment": environment,
            "ca": store["ca"],
        }
        found = bench.client(given, "client_training.py", within=1800)
    middle = {name: statistics.median(seconds for seconds, _ in runs) for name, runs in found.items()}
    table = ["| procedure | s | each, s | relative to the replaced procedure | peak memory, MB |"]
    table += ["| --- | ---: | --- | ---: | ---: |"]
    for name, runs in found.items():
        each = ", ".join(f"{seconds:.1f}" for seconds, _ in runs)
        peak, share = max(megabytes for _, megabytes in runs), middle[name] / middle[REPLACED]
        table.append(f"| {name} | {middle[name]:.1f} | {each} | {share:.2f} | {peak:.0f} |")
    return Result(
        [
            Target(f"{SEED}, relative to the replaced procedure", middle[SEED] / middle[REPLACED], 0.35),
            Target(f"{DEFAULT}, relative to the replaced procedure", middle[DEFAULT] / middle[REPLACED], 0.16),
        ],
        "\n".join(table),
    )
