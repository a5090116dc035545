"""Search the first 100 runs by a metric or a parameter, in experiments of 1,000, 10,000 and 100,000 runs."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from functools import partial

import pss
from harness import Bench
from report import Result, Target, spread

SIZES = (1_000, 10_000, 100_000)

# Rows as MLflow 3.17 writes them: a run with three metrics, three parameters and two tags.
SEED = """
INSERT INTO runs (run_uuid, name, source_type, source_name, user_id, status, start_time, end_time, lifecycle_stage,
    artifact_uri, experiment_id)
  SELECT {uuid}, CONCAT('run-', n), 'LOCAL', 'bench', 'bench', 'FINISHED', 1700000000000 + n,
    1700000001000 + n, 'active', CONCAT('mlflow-artifacts:/bench/', n), {number} FROM numbers;
"""
UUID = "LEFT(SHA2(CONCAT({number}, '-', n), 256), 32)"
METRIC = """INSERT INTO latest_metrics (`key`, value, timestamp, step, is_nan, run_uuid)
  SELECT '{key}', RAND(), 1, 1, 0, {uuid} FROM numbers;
"""
WORD = "INSERT INTO {table} (`key`, value, run_uuid) SELECT '{key}', n, {uuid} FROM numbers;\n"

GROWTH_REASON = (
    "ordered by a metric, the first runs come from an index, however many runs there are "
    "(`trackbox_mlflow/search.py`); ordered by a parameter, MySQL joins and sorts all runs of the experiment."
)
BY_PARAMETER = "ordered by a parameter"


def numbers(count: int) -> str:
    """Return SQL that creates a table `numbers` with the integers below `count`, a power of ten."""
    digits = " UNION ALL ".join(f"SELECT {digit} AS n" for digit in range(10))
    places = range(len(str(count)) - 1)
    total = " + ".join(f"{10**place} * d{place}.n" for place in places)
    tables = ", ".join(f"({digits}) d{place}" for place in places)
    return f"CREATE TEMPORARY TABLE numbers (n INT PRIMARY KEY) AS SELECT {total} AS n FROM {tables};\n"


def seed(bench: Bench, number: str, count: int) -> None:
    """Write `count` runs into the experiment `number`."""
    text = numbers(count) + SEED + "".join(METRIC.replace("{key}", f"m{key}") for key in range(3))
    words = [("params", f"p{key}") for key in range(3)] + [("tags", f"t{key}") for key in range(2)]
    text += "".join(WORD.replace("{table}", table).replace("{key}", key) for table, key in words)
    text = text.replace("{uuid}", UUID)
    bench.sql(text.replace("{number}", number), "mlflow")


def first_page(bench: Bench, number: str, query: dict[str, object]) -> dict[str, object]:
    """Return a peer for client.py whose clients request the first page of a search in an experiment."""
    body = {"experiment_ids": [number], "max_results": 100, **query}
    return bench.door() | {"ask": ["POST", "/api/2.0/mlflow/runs/search", body]}


def measure(bench: Bench) -> Result:
    """Measure the milliseconds of a search; results are medians of five rounds of six requests."""
    asked: dict[str, dict[str, object]] = {
        "ordered": {"order_by": ["metrics.m1 DESC"]},
        "filtered and ordered": {"filter": "metrics.m1 > 0.9", "order_by": ["metrics.m1 DESC"]},
        BY_PARAMETER: {"order_by": ["params.p1 DESC"]},
    }
    settings = {"clients": 1, "calls": 6, "rounds": 5, "batch": 0}
    with ExitStack() as stack:
        experiments = {size: stack.enter_context(bench.experiment()) for size in SIZES}
        for size, number in experiments.items():
            seed(bench, number, size)
        bench.sql("ANALYZE TABLE runs, latest_metrics, params, tags", "mlflow")

        def work(size: int) -> None:
            peers = {how: first_page(bench, experiments[size], query) for how, query in asked.items()}
            bench.client({**settings, "peers": peers, "rounds": 1})

        memory = pss.growth(bench, {size: partial(work, size) for size in SIZES})
        found = {}
        for how, query in asked.items():
            peers = {f"{size}": first_page(bench, number, query) for size, number in experiments.items()}
            found[how] = {
                int(size): [statistics.median(taken[1:]) for taken in each]
                for size, each in bench.client({**settings, "peers": peers}).items()
            }
    table = ["| first page of 100 | runs | ms (rounds) |", "| --- | ---: | --- |"]
    table += [f"| {how} | {size:,} | {spread(each)} |" for how, sizes in found.items() for size, each in sizes.items()]
    lines = {
        how: [(float(size), statistics.median(each)) for size, each in sizes.items()] for how, sizes in found.items()
    }
    targets = [
        Target(f"{how}: 100,000 runs, relative to 1,000", points[-1][1] / points[0][1], 2)
        for how, points in lines.items()
        if how != BY_PARAMETER
    ]
    axes = ("runs in the experiment", "ms for the first page")
    return Result(targets, "\n".join(table), axes, lines, memory, GROWTH_REASON)
