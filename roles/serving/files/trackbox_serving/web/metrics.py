"""Metrics of all processes of a version, collected from files of prometheus-client.

The files keep the counts of processes that were replaced. They are in PROMETHEUS_MULTIPROC_DIR, which must be set
before this module is imported. Without this variable the metrics cover one process only.
"""

from __future__ import annotations

import os
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
KIND = CONTENT_TYPE_LATEST.encode()
BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)

REQUESTS = Counter("trackbox_serving_requests", "Requests that were answered", ["path", "status"])
SECONDS = Histogram("trackbox_serving_request_seconds", "From the headers to the answer", ["path"], buckets=BUCKETS)
ROWS = Counter("trackbox_serving_rows", "Rows that were scored, by MLflow's functions or the fast way", ["way"])
REFUSED = Counter("trackbox_serving_refused", "Requests that were refused", ["reason"])
LOGGED = Counter("trackbox_serving_logged_rows", "Rows in closed files of the request log")
LABELS = Counter("trackbox_serving_labels", "Labels in closed files, which clients sent for scored rows")
DROPPED = Counter("trackbox_serving_dropped_log_rows", "Rows that the request log lacks", ["reason"])
IN_PROGRESS = Gauge("trackbox_serving_in_progress", "Requests that are being answered", multiprocess_mode="livesum")
INFO = Gauge("trackbox_serving_version", "1", ["name", "version", "alias", "run_id"], multiprocess_mode="max")
REASONS = ("body", "rows", "waiting")


def describe(name: str, version: str, alias: str, run_id: str) -> None:
    """Set the metric that names the version, and create all counters, so that they begin at 0."""
    INFO.labels(name, version, alias, run_id).set(1)
    for reason in REASONS:
        REFUSED.labels(reason)
    for reason in ("queue", "disk"):
        DROPPED.labels(reason)
    for way in ("fast", "mlflow"):
        ROWS.labels(way)


def render() -> bytes:
    """Return the metrics of all processes as text."""
    if VARIABLE not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return generate_latest(registry)


def process_ended(_: Any, worker: Any) -> None:
    """Remove the in-progress gauge of a process that has ended. gunicorn calls this function as `child_exit`."""
    multiprocess.mark_process_dead(worker.pid)
