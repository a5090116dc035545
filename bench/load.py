"""Send a steady load to a machine, without retries, until the file STOP exists; print counts and failures as JSON.

Usage: training/.venv/bin/python bench/load.py STOP, with the environment variables of `make env`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from client import Door

STOP = Path(sys.argv[1])
SERVER = {
    "url": os.environ["MLFLOW_TRACKING_URI"],
    "user": os.environ["MLFLOW_TRACKING_USERNAME"],
    "password": os.environ["MLFLOW_TRACKING_PASSWORD"],
    "ca": Path(os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"]).read_text(),
}

done: Counter[str] = Counter()
failures: list[str] = []
slowest: Counter[str] = Counter()


def repeat(name: str, call: Callable[[int], object]) -> None:
    """Repeat the call until STOP exists; record the number of calls, the failures and the slowest call."""
    number = 0
    while not STOP.exists():
        start = time.monotonic()
        try:
            call(number)
        except Exception as error:
            failures.append(f"{name} at {time.strftime('%X')}: {type(error).__name__}: {error}"[:300])
        number += 1
        done[name] += 1
        slowest[name] = max(slowest[name], int(1000 * (time.monotonic() - start)))
        time.sleep(0.02)


def main() -> None:
    """Run four threads at once: log metrics, search runs, store and read artifacts, store and read S3 objects."""
    import boto3
    from botocore.config import Config

    doors = {name: Door(**SERVER, keep=name != "search") for name in ("metric", "search", "artifact")}
    run = doors["metric"].post("create", experiment_id="0")["run"]["info"]["run_id"]
    s3 = boto3.client("s3", config=Config(retries={"max_attempts": 0}, read_timeout=60))
    artifact = f"/api/2.0/mlflow-artifacts/artifacts/load/{run}"

    def metric(number: int) -> None:
        doors["metric"].post("log-metric", run_id=run, key="m", value=number, timestamp=1, step=number)

    def store(number: int) -> None:
        doors["artifact"].ask("PUT", f"{artifact}/{number % 50}", b"x" * 20000)
        assert len(doors["artifact"].ask("GET", f"{artifact}/{number % 50}")) == 20000

    def objects(number: int) -> None:
        s3.put_object(Bucket="datasets", Key=f"load/{number % 50}", Body=b"y" * 20000)
        assert len(s3.get_object(Bucket="datasets", Key=f"load/{number % 50}")["Body"].read()) == 20000

    calls: dict[str, Callable[[int], object]] = {
        "metric": metric,
        "search": lambda _: doors["search"].post("search", experiment_ids=["0"], max_results=1),
        "artifact": store,
        "s3": objects,
    }
    threads = [threading.Thread(target=repeat, args=pair) for pair in calls.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"run": run, "done": done, "failures": failures, "slowest_ms": slowest}))


main()
