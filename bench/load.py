"""Steady load on a machine, without a single retry, until a file appears; prints what came of it as JSON.

bench/load.py STOP, with the clients' own Python, training/.venv: URL, passwords and keys come by the environment.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import select
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

STOP = Path(sys.argv[1])
HOST = urlsplit(os.environ["MLFLOW_TRACKING_URI"]).netloc
LOGIN = f"{os.environ['MLFLOW_TRACKING_USERNAME']}:{os.environ['MLFLOW_TRACKING_PASSWORD']}"
TRUST = ssl.create_default_context(cafile=os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"])
HEADERS = {"Authorization": "Basic " + base64.b64encode(LOGIN.encode()).decode(), "Content-Type": "application/json"}
API = "/api/2.0/mlflow"

done: Counter[str] = Counter()
failures: list[str] = []
slowest: Counter[str] = Counter()


class Door:
    """A client at the front door: a new connection for each request, as a shell script has it, or one for all."""

    def __init__(self, keep: bool) -> None:
        self.keep, self.connection = keep, http.client.HTTPSConnection(HOST, context=TRUST, timeout=60)

    def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Send one request; raise where it is not answered with success."""
        # As urllib3 does: a kept connection that the server closed meanwhile is not used.
        if self.connection.sock and select.select([self.connection.sock], [], [], 0)[0]:
            self.connection.close()
        self.connection.request(method, path, body, HEADERS)
        answer = self.connection.getresponse()
        text = answer.read()
        if not self.keep:
            self.connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} {text[:200]!r}")
        return text


def post(door: Door, path: str, **body: object) -> dict[str, dict[str, dict[str, str]]]:
    """Call MLflow's API."""
    found: dict[str, dict[str, dict[str, str]]] = json.loads(door.ask("POST", API + path, json.dumps(body).encode()))
    return found


def repeat(name: str, call: Callable[[int], object]) -> None:
    """Call again and again; count, and note what failed."""
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
    """Log metrics, search, store artifacts by MLflow, and objects by S3, all at once."""
    import boto3
    from botocore.config import Config

    doors = {name: Door(keep=name != "search") for name in ("metric", "search", "artifact")}
    run = post(doors["metric"], "/runs/create", experiment_id="0")["run"]["info"]["run_id"]
    s3 = boto3.client("s3", config=Config(retries={"max_attempts": 0}, read_timeout=60))
    artifact = f"/api/2.0/mlflow-artifacts/artifacts/load/{run}"

    def metric(number: int) -> None:
        post(doors["metric"], "/runs/log-metric", run_id=run, key="m", value=number, timestamp=1, step=number)

    def store(number: int) -> None:
        doors["artifact"].ask("PUT", f"{artifact}/{number % 50}", b"x" * 20000)
        assert len(doors["artifact"].ask("GET", f"{artifact}/{number % 50}")) == 20000

    def objects(number: int) -> None:
        s3.put_object(Bucket="datasets", Key=f"load/{number % 50}", Body=b"y" * 20000)
        assert len(s3.get_object(Bucket="datasets", Key=f"load/{number % 50}")["Body"].read()) == 20000

    calls: dict[str, Callable[[int], object]] = {
        "metric": metric,
        "search": lambda _: post(doors["search"], "/runs/search", experiment_ids=["0"], max_results=1),
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
