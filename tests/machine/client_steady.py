"""Unmodified clients that write without a pause, or check that acknowledged writes are stored.

client_steady.py write SECONDS [WRITERS]   prints a line of JSON for each acknowledged write: its data, when it was
                                           acknowledged, and how many seconds it took
client_steady.py model                     registers a model under an alias, and prints its predictions
client_steady.py check < LINES             prints how many of these writes are stored, and lists the others
client_steady.py score                     prints the predictions of the registered model
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.entities import Metric
from sklearn.linear_model import LogisticRegression

METRICS = 50  # number of metrics in a call
QUESTIONS = np.array([[0.1, 0.2], [0.9, 0.4], [0.5, 0.5], [0.3, 0.8]])
client = mlflow.MlflowClient()
printing = threading.Lock()


def tell(**what: Any) -> None:
    """Print an acknowledged write or an error as a line of JSON, with the time."""
    with printing:
        print(json.dumps({"at": time.time(), **what}), flush=True)


def tried(call: Callable[[], object], **what: Any) -> None:
    """Make a call, and print it as an acknowledged write. After an error, print only the error."""
    start = time.time()
    try:
        call()
    except Exception as error:
        what = {"error": str(error)[:300]}
    tell(took=time.time() - start, **what)


def write(experiment: str, seconds: float) -> None:
    """Log metrics and artifacts alternately for `seconds`."""
    end, step = time.time() + seconds, 0
    run = client.create_run(experiment).info.run_id
    while time.time() < end:
        values = [
            Metric("loss", secrets.randbelow(10**6) / 7, 1_700_000_000_000 + step + n, step + n) for n in range(METRICS)
        ]
        tried(
            partial(client.log_batch, run, metrics=values), run=run, metrics=[[one.step, one.value] for one in values]
        )
        step += len(values)
        text = secrets.token_hex(secrets.randbelow(60_000) + 1)
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        name = f"notes/{step}.txt"
        tried(partial(client.log_text, run, text, name), run=run, artifact=name, sha256=sha256)


def check(lines: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Read every acknowledged write back; count those that are stored, and list the others."""
    steps: dict[str, dict[int, float]] = {}
    held, lost = 0, []
    for line in lines:
        run = line["run"]
        try:
            if "metrics" in line:
                if run not in steps:
                    steps[run] = {one.step: one.value for one in client.get_metric_history(run, "loss")}
                right = all(steps[run].get(step) == value for step, value in line["metrics"])
            else:
                path = mlflow.artifacts.download_artifacts(
                    run_id=run, artifact_path=line["artifact"], dst_path=str(folder)
                )
                right = hashlib.sha256(Path(path).read_bytes()).hexdigest() == line["sha256"]
        except Exception as error:
            right = False
            line["error"] = str(error)[:200]
        held += right
        lost += [] if right else [line]
    return {"held": held, "lost": lost[:5], "runs": len(steps)}


def main() -> None:
    """Run the command that the arguments name."""
    command, *rest = sys.argv[1:]
    if command == "write":
        experiment = mlflow.set_experiment("steady").experiment_id
        number = int(rest[1]) if rest[1:] else 2
        writers = [threading.Thread(target=write, args=(experiment, float(rest[0]))) for _ in range(number)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
    elif command == "model":
        mlflow.set_experiment("steady")
        model = LogisticRegression().fit(QUESTIONS, [0, 1, 0, 1])
        with mlflow.start_run():
            mlflow.sklearn.log_model(
                model,
                name="model",
                registered_model_name="steady",
                pip_requirements=["scikit-learn"],
                serialization_format="pickle",
            )
        client.set_registered_model_alias("steady", "champion", "1")
        print(json.dumps(model.predict_proba(QUESTIONS).tolist()))
    elif command == "check":
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(check([json.loads(line) for line in sys.stdin], Path(folder))))
    else:
        print(json.dumps(mlflow.sklearn.load_model("models:/steady@champion").predict_proba(QUESTIONS).tolist()))


main()
