"""The first page of 100 runs by a metric, among 1,000, 10,000 and 100,000 runs of an experiment, through the door."""

from __future__ import annotations

import statistics
from contextlib import ExitStack

from harness import Bench
from report import Reach, Result, spread

SIZES = (1_000, 10_000, 100_000)

# Rows as MLflow 3.17 writes them: a run with three metrics, three parameters and two tags.
SEED = """
CREATE TEMPORARY TABLE numbers (n INT PRIMARY KEY) AS
  WITH d(n) AS ({digits}) SELECT a.n + 10 * b.n + 100 * c.n + 1000 * e.n + 10000 * f.n AS n
  FROM d a, d b, d c, d e, d f HAVING n < {count};
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


def seed(bench: Bench, number: str, count: int) -> None:
    """Write so many runs into the experiment `number`."""
    text = SEED + "".join(METRIC.replace("{key}", f"m{key}") for key in range(3))
    words = [("params", f"p{key}") for key in range(3)] + [("tags", f"t{key}") for key in range(2)]
    text += "".join(WORD.replace("{table}", table).replace("{key}", key) for table, key in words)
    text = text.replace("{uuid}", UUID)
    text = text.replace("{digits}", " UNION ALL ".join(f"SELECT {digit}" for digit in range(10)))
    bench.sql(text.replace("{number}", number).replace("{count}", str(count)), "mlflow")


def measure(bench: Bench) -> Result:
    """Milliseconds of a search, medians of five rounds of six."""
    asked = {
        "ordered": {"order_by": ["metrics.m1 DESC"]},
        "filtered and ordered": {"filter": "metrics.m1 > 0.9", "order_by": ["metrics.m1 DESC"]},
    }
    with ExitStack() as stack:
        numbers = {size: stack.enter_context(bench.experiment()) for size in SIZES}
        for size, number in numbers.items():
            seed(bench, number, size)
        bench.sql("ANALYZE TABLE runs, latest_metrics, params, tags", "mlflow")
        found = {}
        for how, query in asked.items():
            peers = {
                f"{size}": bench.door() | {"search": {"experiment_ids": [number], "max_results": 100, **query}}
                for size, number in numbers.items()
            }
            settings = {"peers": peers, "clients": 1, "calls": 6, "rounds": 5, "batch": 0}
            found[how] = {
                int(size): [statistics.median(taken[1:]) for taken in each]
                for size, each in bench.client(settings).items()
            }
    table = ["| first page of 100, by a metric | runs | ms (rounds) |", "| --- | ---: | --- |"]
    table += [f"| {how} | {size:,} | {spread(each)} |" for how, sizes in found.items() for size, each in sizes.items()]
    lines = {
        how: [(float(size), statistics.median(each)) for size, each in sizes.items()] for how, sizes in found.items()
    }
    reaches = [
        Reach(f"{how}: 100,000 runs, of 1,000", points[-1][1] / points[0][1], 2) for how, points in lines.items()
    ]
    return Result(reaches, "\n".join(table), ("runs in the experiment", "ms for the first page"), lines)
