"""The runs of one comparison on the tracking server. All runs are ended, even after an error."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from time import time_ns
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, Metric, Param, RunTag
from mlflow.models import Model
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_USER

from fraud.models import flavours
from fraud.settings import Settings

EPOCH = date(1970, 1, 1)
#: Maximum number of metrics in one request to MLflow.
MOST_METRICS = 1000


class Tracker:
    """Start runs, log to them and end them. The methods may be called from several threads.

    Args:
        settings: settings with the tracking server's address.
        experiment: name of the experiment, which is created if it is missing.
        tags: tags of every run.

    """

    def __init__(self, settings: Settings, experiment: str, tags: Mapping[str, str]) -> None:
        self.settings = settings
        self.client = MlflowClient(settings.tracking_uri)
        found = self.client.get_experiment_by_name(experiment)
        self.experiment = str(
            found.experiment_id if found else self.client.create_experiment(experiment)
        )
        self._tags = {**tags, MLFLOW_USER: os.environ.get("USER", "fraud")}
        self._open: set[str] = set()
        self._final_status: str | None = None
        self._lock = threading.Lock()

    @contextmanager
    def run(self, name: str, role: str, parent: str = "") -> Iterator[str]:
        """Start a run, yield its identifier, and end the run after the block.

        Its status is then FINISHED, FAILED after an error, or KILLED after Ctrl-C or SIGTERM. If
        a run without a parent fails, all open runs get the same status.

        Args:
            name: name of the run.
            role: value of the tag `role`, `comparison`, `model`, `evaluation` or `monitoring`.
            parent: identifier of the parent run.

        """
        run = self._start(name, role, parent)
        try:
            yield run
        except BaseException as error:
            status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
            if parent:
                with suppress(Exception):  # an error of _end must not hide the block's error
                    self._end(run, status)
            else:
                self._end_all(status)
            raise
        self._end(run, "FINISHED")

    def _start(self, name: str, role: str, parent: str) -> str:
        tags = {**self._tags, "role": role}
        if parent:
            tags[MLFLOW_PARENT_RUN_ID] = parent
        run: str = self.client.create_run(self.experiment, run_name=name, tags=tags).info.run_id
        with self._lock:
            status = self._final_status
            self._open.add(run)
        if status:  # another thread called _end_all while the server created this run
            self._end(run, status)
            raise RuntimeError("the comparison is over")
        return run

    def _end(self, run: str, status: str) -> None:
        """Set the final status of a run, unless the status is already set."""
        with self._lock:
            if run not in self._open:
                return
            self._open.remove(run)
        self.client.set_terminated(run, status)

    def _end_all(self, status: str) -> None:
        """End all open runs, and every run that starts later. Errors of the server are ignored."""
        with self._lock:
            self._final_status = status
            still_open = list(self._open)
        for run in still_open:
            with suppress(Exception):
                self._end(run, status)

    def log(self, run: str, params: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Log parameters and metrics in one request.

        With a request for each value, logging would take 30 to 50 times as long.
        """
        now = time_ns() // 1_000_000
        self.client.log_batch(
            run,
            metrics=[Metric(key, value, now, 0) for key, value in metrics.items()],
            params=[Param(key, str(value)) for key, value in params.items()],
        )

    def log_days(self, run: str, values: Sequence[tuple[str, date, float]]) -> None:
        """Log daily metrics (name, day, value). The step is the number of days since 1970."""
        metrics = []
        for name, day, value in values:
            step = (day - EPOCH).days
            metrics.append(Metric(name, float(value), step * 86_400_000, step))
        for first in range(0, len(metrics), MOST_METRICS):
            self.client.log_batch(run, metrics=metrics[first : first + MOST_METRICS])

    def tag(self, run: str, tags: Mapping[str, str]) -> None:
        """Set tags in one request."""
        self.client.log_batch(run, tags=[RunTag(key, value) for key, value in tags.items()])

    def log_files(self, run: str, files: Mapping[str, bytes]) -> None:
        """Upload files as artifacts; `files` maps each file name to the content."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder, name)
                path.write_bytes(content)
                self.client.log_artifact(run, str(path))

    def log_model(
        self, run: str, name: str, estimator: Any, metadata: Mapping[str, Any],
        example: pd.DataFrame, profile: str,
    ) -> tuple[str, int]:  # fmt: skip
        """Save a fitted model, upload it and make it an output of the run.

        It differs from `mlflow.sklearn.log_model` in two ways: the run is an argument, not a state
        of the thread, and the saved model is not loaded again for a check.

        Returns:
            The model's identifier and its size in bytes.

        """
        logged = self.client.create_logged_model(self.experiment, name=name, source_run_id=run)
        description = Model(
            artifact_path=logged.artifact_location,
            run_id=run,
            model_uuid=logged.model_id,
            model_id=logged.model_id,
            metadata=dict(metadata),
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model")
            flavours.save(estimator, path, description, example, profile)
            size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            self.client.log_model_artifacts(logged.model_id, str(path))
        self.client.finalize_logged_model(logged.model_id, "READY")
        self.client.log_outputs(run, [LoggedModelOutput(logged.model_id, step=0)])
        return logged.model_id, size

    def link(self, run: str) -> str:
        """Address of a run's page in MLflow's user interface."""
        return f"{self.settings.ui_url}/#/experiments/{self.experiment}/runs/{run}"
