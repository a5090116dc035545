"""Requests and latencies of a version, from the metrics that its worker shows at its socket."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from trackbox_serving.follower.status import Status
from trackbox_serving.follower.unix import ask

# The name of the worker's histogram of latencies, and the values of its label `path` that mean scoring.
NAME = "trackbox_serving_request_seconds"
SCORING = ("invocations", "infer")


@dataclass(frozen=True)
class Traffic:
    """The requests to a version since it started. `p50` and `p99` are latencies in seconds, NaN without requests."""

    requests: int = 0
    p50: float = math.nan
    p99: float = math.nan


def quantile(share: float, buckets: list[tuple[float, float]]) -> float:
    """Return a quantile of a histogram like Prometheus' histogram_quantile, or NaN if the histogram is empty.

    `buckets` are pairs of an upper bound and a cumulative count, in ascending order. The last bound is infinite.
    """
    if not buckets or not buckets[-1][1]:
        return math.nan
    rank, low, below = share * buckets[-1][1], 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            if math.isinf(bound):
                return low
            return low + (bound - low) * (rank - below) / max(count - below, 1e-12)
        low, below = bound, count
    return low


def read(text: str) -> Traffic:
    """Return the traffic in a worker's metrics."""
    from prometheus_client.parser import text_string_to_metric_families

    counted: dict[float, float] = {}
    requests = 0.0
    for family in text_string_to_metric_families(text):
        for sample in family.samples if family.name == NAME else ():
            if sample.labels.get("path") not in SCORING:
                continue
            if sample.name == f"{NAME}_bucket":
                bound = float(sample.labels["le"])
                counted[bound] = counted.get(bound, 0) + sample.value
            elif sample.name == f"{NAME}_count":
                requests += sample.value
    buckets = sorted(counted.items())
    return Traffic(int(requests), quantile(0.5, buckets), quantile(0.99, buckets))


def scrape(socket: Path) -> str:
    """Return the metrics of a version, or an empty string if it does not respond."""
    with contextlib.suppress(OSError, HTTPException, ValueError):
        answer = ask(socket, "/metrics", timeout=2)
        if answer.status == 200:
            return answer.body.decode(errors="replace")
    return ""


@dataclass(frozen=True)
class Families:
    """A registry of given metrics for prometheus_client's function `generate_latest`."""

    families: Sequence[Any]

    def collect(self) -> Sequence[Any]:
        """Return the metrics."""
        return self.families


def version_metrics(scraped: Sequence[tuple[str, str]]) -> str:
    """Return the metrics of several models as one text. scraped: pairs of a model's name and its version's metrics."""
    from prometheus_client import generate_latest
    from prometheus_client.core import Metric
    from prometheus_client.parser import text_string_to_metric_families

    merged: dict[str, Any] = {}
    for model, text in scraped:
        for family in text_string_to_metric_families(text):
            known = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                known.add_sample(sample.name, {"model": model, **sample.labels}, sample.value)
    return generate_latest(Families(list(merged.values()))).decode()


def follower_metrics(status: Status) -> str:
    """Return the follower's own metrics, about refused versions, versions that are not served yet, and log uploads."""
    from prometheus_client import generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    refused = GaugeMetricFamily(
        "trackbox_serving_refused", "The alias names a version that was refused", labels=["model", "alias", "version"]
    )
    behind = GaugeMetricFamily(
        "trackbox_serving_behind", "The alias names a version that is not served", labels=["model", "alias"]
    )
    for model in status.models.values():
        live = model.live.version if model.live else None
        is_refused = bool(model.refused and model.refused.version == model.wanted)
        refused.add_metric([model.name, model.alias, model.wanted or ""], int(is_refused))
        is_behind = bool(model.wanted) and live != model.wanted and not is_refused
        behind.add_metric([model.name, model.alias], int(is_behind))
    waiting = GaugeMetricFamily(
        "trackbox_serving_log_waiting_files", "Files of the log that wait for the store", status.log.waiting_files
    )
    dropped = CounterMetricFamily(
        "trackbox_serving_log_dropped_files", "Files of the log that were dropped", status.log.dropped
    )
    return generate_latest(Families([refused, behind, waiting, dropped])).decode()
