"""Send requests to NGINX without pause until standard input ends, then print counts and failures as JSON.

A request on a new connection is sent once. If the server has closed a kept-alive connection, the request is sent again
on a new connection, as browsers and clients do. MLflow's own client logs a metric at each step, and all metrics must be
stored.
"""

import json
import os
import sys
import threading
from collections import Counter

import mlflow
import urllib3

URL = os.environ["MLFLOW_TRACKING_URI"] + "/healthz"
CA = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH")
ended = threading.Event()
count: Counter[str] = Counter()
failed: list[str] = []


def ask(name: str, *, keep: bool, pause: float) -> None:
    """Request /healthz until the end, on a new connection each time or, if `keep` is true, on a kept-alive one."""
    retries = urllib3.Retry(1 if keep else 0)
    pool = urllib3.PoolManager(ca_certs=CA, cert_reqs="CERT_REQUIRED", timeout=10, retries=retries)
    headers = {} if keep else {"Connection": "close"}
    while not ended.wait(pause):
        try:
            answer = pool.request("GET", URL, headers=headers)
            if answer.status != 200:
                failed.append(f"{name}: {answer.status}")
        except urllib3.exceptions.HTTPError as error:
            failed.append(f"{name}: {error!r}")
        count[name] += 1


def log() -> None:
    """Log metrics with MLflow's client, and check that all are stored."""
    mlflow.set_experiment("renewal")
    with mlflow.start_run() as run:
        print("begun", flush=True)
        while not ended.wait(0.05):
            mlflow.log_metric("step", count["logged"], step=count["logged"])
            count["logged"] += 1
    arrived = {metric.step for metric in mlflow.MlflowClient().get_metric_history(run.info.run_id, "step")}
    if arrived != set(range(count["logged"])):
        failed.append(f"{count['logged'] - len(arrived)} metrics are lost")


threads = [
    threading.Thread(target=ask, args=["new"], kwargs={"keep": False, "pause": 0.02}),
    threading.Thread(target=ask, args=["kept"], kwargs={"keep": True, "pause": 0.005}),
    threading.Thread(target=ask, args=["kept, with pauses"], kwargs={"keep": True, "pause": 0.05}),
    threading.Thread(target=log),
]
for thread in threads:
    thread.start()
sys.stdin.read()
ended.set()
for thread in threads:
    thread.join()
print(json.dumps({"count": count, "failed": failed}))
