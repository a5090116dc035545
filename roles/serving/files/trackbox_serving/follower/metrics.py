"""Requests and latencies of a version, from the metrics that its worker shows at its socket."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

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


def traffic(socket: Path) -> Traffic:
    """Return a version's traffic; an empty one where it does not answer."""
    with contextlib.suppress(OSError, HTTPException, ValueError):
        answer = ask(socket, "/metrics", timeout=2)
        if answer.status == 200:
            return read(answer.body.decode(errors="replace"))
    return Traffic()
