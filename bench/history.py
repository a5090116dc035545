"""Measure four requests to runs with 1,000 to 1,000,000 metric values: history, chart, run, and log_metric."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pss
from fill import numbers
from harness import Bench
from report import Lines, Result, Target, spread

SIZES = (1_000, 10_000, 100_000, 1_000_000)
HISTORY, CHART, RUN, LOG = "first page of the history", "a chart of 2,500 points", "the run", "`log_metric` into it"

SEED = """
INSERT INTO metrics (`key`, value, timestamp, step, is_nan, run_uuid)
  SELECT 'm', RAND(), 1700000000000 + n, n, 0, '{run}' FROM numbers;
INSERT INTO latest_metrics (`key`, value, timestamp, step, is_nan, run_uuid)
  SELECT 'm', 0, MAX(1700000000000 + n), MAX(n), 0, '{run}' FROM numbers;
"""

GROWTH_REASON = (
    "a chart of 1,000 values has 1,000 points, the others 2,500. All requests use an index, a chart by "
    "`trackbox_mlflow/chart.py`, so their time does not depend on the number of values."
)


def seed(bench: Bench, run: str, count: int) -> None:
    """Insert `count` values of one metric into a run by SQL."""
    bench.sql(numbers(count) + SEED.replace("{run}", run), "mlflow")


@contextmanager
def runs(bench: Bench) -> Iterator[dict[int, str]]:
    """Yield an empty run for each size, in a new experiment; afterwards delete the experiment, runs and values."""
    with bench.experiment() as number:
        made = {size: bench.ask("runs/create", experiment_id=number)["run"]["info"]["run_id"] for size in SIZES}
        try:
            yield made
        finally:
            # Use one DELETE for each run, because a DELETE with a subquery sorts all rows in /tmp, at 1 KB a row.
            bench.sql("".join(f"DELETE FROM metrics WHERE run_uuid = '{run}';" for run in made.values()), "mlflow")


def asked(bench: Bench, run: str) -> dict[str, dict[str, Any]]:
    """Return for each measured request, by name, the keys to add to an entry of `peers` for client.py."""
    api, page = "/api/2.0/mlflow", "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"
    return {
        HISTORY: {"ask": ["GET", f"{api}/metrics/get-history?run_id={run}&metric_key=m&max_results=1000", None]},
        CHART: {"ask": ["GET", f"{page}?run_ids={run}&metric_key=m&max_results=2500", None]},
        RUN: {"ask": ["GET", f"{api}/runs/get?run_id={run}", None]},
        LOG: {"run": run},
    }


def measure(bench: Bench) -> Result:
    """Measure the milliseconds of each request through NGINX; results are medians of five rounds of two requests."""
    settings = {"clients": 1, "calls": 2, "batch": 0, "warm_up": 1}
    door, found = bench.door(), dict[str, dict[int, list[float]]]()
    with runs(bench) as made:
        for size, run in made.items():
            seed(bench, run, size)
        bench.sql("ANALYZE TABLE metrics, latest_metrics", "mlflow")
        questions = {size: asked(bench, run) for size, run in made.items()}

        def work(size: int) -> None:
            peers = {name: door | question for name, question in questions[size].items()}
            bench.client({**settings, "peers": peers, "rounds": 1})

        memory = pss.growth(bench, {size: partial(work, size) for size in SIZES})
        for name in (HISTORY, CHART, RUN, LOG):
            peers = {f"{size}": door | questions[size][name] for size in SIZES}
            said = bench.client({**settings, "peers": peers, "rounds": 5})
            found[name] = {int(size): [statistics.median(taken[1:]) for taken in each] for size, each in said.items()}
    table = ["| what | values in the run | ms (rounds) |", "| --- | ---: | --- |"]
    table += [
        f"| {name} | {size:,} | {spread(each)} |" for name, sizes in found.items() for size, each in sizes.items()
    ]
    lines: Lines = {
        name: [(size, statistics.median(each)) for size, each in sizes.items()] for name, sizes in found.items()
    }
    chart = dict(lines[CHART])
    targets = [Target("a chart of 1,000,000 values, relative to one of 1,000", chart[SIZES[-1]] / chart[SIZES[0]], 10)]
    return Result(targets, "\n".join(table), ("values of a metric in the run", "ms"), lines, memory, GROWTH_REASON)
