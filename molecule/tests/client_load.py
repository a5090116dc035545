"""Ask the front door without pause until standard input ends, then print as JSON what came of it.

New connections are tried once. A request on a connection that the server closed meanwhile is sent again on a new one,
as every browser and client does. MLflow's own client logs a metric at each step; all of them must have arrived.
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
    """Ask for the health, each time by a new connection or by one that is kept."""
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
    """Log metrics by MLflow's client, and count those that arrived."""
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
