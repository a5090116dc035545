"""Insert many runs, traces, models and experiments into MLflow's tables by bulk SQL, and delete them afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from harness import Bench

# The statements write rows as MLflow 3.17 does. {number} stands for the id of an experiment, and {uuid} for the
# id of its run with the number n.
UUID = "LEFT(SHA2(CONCAT('{number}-', n), 256), 32)"
RUNS = """
INSERT INTO runs (run_uuid, name, source_type, source_name, user_id, status, start_time, end_time, lifecycle_stage,
    artifact_uri, experiment_id)
  SELECT {uuid}, CONCAT('run-', LPAD(n, 6, 0)), 'LOCAL', 'bench', 'bench', 'FINISHED', 1700000000000 + n,
    1700000001000 + n, 'active', CONCAT('mlflow-artifacts:/bench/', n), {number} FROM numbers;
INSERT INTO latest_metrics (`key`, value, timestamp, step, is_nan, run_uuid)
  SELECT CONCAT('m', k.n), RAND(), 1, 1, 0, r.id FROM few k, (SELECT {uuid} AS id FROM numbers) r WHERE k.n < 5;
INSERT INTO params (`key`, value, run_uuid)
  SELECT CONCAT('p', k.n), CASE k.n WHEN 0 THEN r.n % 2 WHEN 1 THEN r.n DIV 20 ELSE RAND() END, r.id
  FROM few k, (SELECT n, {uuid} AS id FROM numbers) r WHERE k.n < 8;
INSERT INTO tags (`key`, value, run_uuid)
  SELECT CASE k.n WHEN 0 THEN 'mlflow.runName' WHEN 1 THEN 'mlflow.user' ELSE CONCAT('t', k.n) END,
    CASE k.n WHEN 0 THEN CONCAT('run-', LPAD(r.n, 6, 0)) WHEN 1 THEN 'bench' ELSE r.n DIV 20 END, r.id
  FROM few k, (SELECT n, {uuid} AS id FROM numbers) r WHERE k.n < 4;
"""
TRACES = """
INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, execution_time_ms, status, request_preview)
  SELECT CONCAT('tr-', {uuid}), {number}, 1700000000000 + n, 100, 'OK', 'a question' FROM numbers;
INSERT INTO trace_tags (request_id, `key`, value)
  SELECT CONCAT('tr-', {uuid}), 't0', n DIV 20 FROM numbers;
INSERT INTO trace_request_metadata (request_id, `key`, value)
  SELECT CONCAT('tr-', {uuid}), 'mlflow.trace.user', n DIV 20 FROM numbers;
"""
# The lists of models and of experiments grow in steps. Each step adds the rows from {first} on.
MODELS = """
INSERT INTO registered_models (name, creation_time, last_updated_time)
  SELECT CONCAT('bench-', LPAD(n, 6, 0)), 1700000000000 + n, 1700000000000 + n FROM numbers WHERE n >= {first};
INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, source, run_id, status)
  SELECT CONCAT('bench-', LPAD(m.n, 6, 0)), k.n + 1, 1700000000000 + 10 * m.n + k.n, 1700000000000 + 10 * m.n + k.n,
    'None', 'models:/m', LEFT(SHA2(CONCAT('version-', m.n, k.n), 256), 32), 'READY'
  FROM numbers m, few k WHERE m.n >= {first};
"""
EXPERIMENTS = """
INSERT INTO experiments (name, artifact_location, lifecycle_stage, creation_time, last_update_time)
  SELECT CONCAT('bench-', LPAD(n, 6, 0)), 'mlflow-artifacts:/bench', 'active', 1700000000000 + n, 1700000000000 + n
  FROM numbers WHERE n >= {first};
"""
# Switch off the binary log, because writing it would take as long as writing the rows.
SESSION = "SET SESSION sql_log_bin = 0; SET SESSION unique_checks = 0; SET SESSION foreign_key_checks = 0;\n"


def numbers(count: int, name: str = "numbers") -> str:
    """Return SQL that creates a table with the integers below `count`, which must be a power of ten."""
    digits = " UNION ALL ".join(f"SELECT {digit} AS n" for digit in range(10))
    places = range(len(str(count)) - 1)
    total = " + ".join(f"{10**place} * d{place}.n" for place in places)
    tables = ", ".join(f"({digits}) d{place}" for place in places)
    return f"CREATE TEMPORARY TABLE {name} (n INT PRIMARY KEY) AS SELECT {total} AS n FROM {tables};\n"


def insert(bench: Bench, statements: str, count: int, number: str = "0", first: int = 0) -> None:
    """Run INSERT statements for the rows `first` to `count` - 1. number: id of the experiment that gets the rows."""
    text = statements.replace("{uuid}", UUID).replace("{number}", number).replace("{first}", str(first))
    bench.sql(SESSION + numbers(count) + numbers(10, "few") + text, "mlflow")


@contextmanager
def lists(bench: Bench, sizes: tuple[int, ...]) -> Iterator[dict[int, str]]:
    """For each size n, create an experiment with n runs and n traces; yield the ids by size; delete all afterwards."""
    with ExitStack() as stack:
        made = {size: stack.enter_context(bench.experiment()) for size in sizes}
        stack.callback(empty, bench, list(made.values()))
        for size, number in made.items():
            insert(bench, RUNS + TRACES, size, number)
        bench.sql("ANALYZE TABLE runs, latest_metrics, params, tags, trace_info, trace_tags", "mlflow")
        yield made


def empty(bench: Bench, numbers: list[str]) -> None:
    """Delete the runs and traces of these experiments, with one DELETE statement for each table."""
    inside = f"experiment_id IN ({', '.join(numbers)})"
    join = "DELETE one FROM {0} one JOIN {1} USING ({2}) WHERE {1}." + inside + ";\n"
    deletes = [join.format(table, "runs", "run_uuid") for table in ("latest_metrics", "params", "tags")]
    deletes += [join.format(table, "trace_info", "request_id") for table in ("trace_tags", "trace_request_metadata")]
    bench.sql(
        SESSION + "".join(deletes) + f"DELETE FROM runs WHERE {inside}; DELETE FROM trace_info WHERE {inside};",
        "mlflow",
    )


def grow(bench: Bench, count: int, first: int = 0) -> None:
    """Add models with ten versions each, and experiments, up to `count` of each. first: how many exist already."""
    insert(bench, MODELS + EXPERIMENTS, count, first=first)
    bench.sql("ANALYZE TABLE registered_models, model_versions, experiments", "mlflow")


def shrink(bench: Bench) -> None:
    """Delete the models and experiments that `grow` made."""
    named = "WHERE name LIKE 'bench-______'"
    tables = ("model_versions", "registered_models", "experiments")
    bench.sql(SESSION + "".join(f"DELETE FROM {table} {named};" for table in tables), "mlflow")


@contextmanager
def registry(bench: Bench, sizes: tuple[int, ...]) -> Iterator[Iterator[int]]:
    """Yield an iterator over the sizes. Each step adds models and experiments up to the size. Delete all at the end."""

    def grown() -> Iterator[int]:
        for before, size in zip((0, *sizes), sizes, strict=False):
            grow(bench, size, before)
            yield size

    try:
        yield grown()
    finally:
        shrink(bench)
