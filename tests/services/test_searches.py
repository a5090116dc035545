"""On SQLite, searches and charts with Trackbox's indexes return the same rows as MLflow's own SQL statements."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy
from asgi import empty_database
from sqlalchemy import create_engine, event, inspect
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session
from trackbox_mlflow import chart, search
from trackbox_mlflow.indexes import INDEXES
from trackbox_mlflow.maintenance import indexes

pytest.importorskip("mlflow")
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
from mlflow.store.tracking.dbmodels.models import SqlMetric, SqlTag
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.search_utils import SearchUtils

__all__ = ["empty_database"]

ROOT = Path(__file__).parents[2]
ORDER = [SqlMetric.step, SqlMetric.timestamp, SqlMetric.value, SqlMetric.is_nan]


@pytest.fixture
def uri(empty_database: Path, tmp_path: Path) -> str:
    """A database with MLflow's tables."""
    return f"sqlite:///{shutil.copy(empty_database, tmp_path / 'mlflow.db')}"


def test_random_searches_find_what_mlflows_own_statements_find(uri: str) -> None:
    command = [sys.executable, str(ROOT / "tests/machine/inside_searches.py"), uri, "120", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "roles/mlflow/files")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["count"] == 0, said["differing"]
    assert sum(said["used"].values()) > 20
    assert len(said["used"]) > 2


def test_indexes_are_added_and_dropped_and_those_of_missing_columns_left_out(uri: str) -> None:
    engine = create_engine(uri)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE trace_tags")
    names = [index.name for index in INDEXES if index.table != "trace_tags"]
    assert indexes.apply(engine, True) == names
    assert indexes.apply(engine, True) == []
    found = {one["name"]: one["column_names"] for one in inspect(engine).get_indexes("params")}
    assert found["trackbox_params_by_value"] == ["key", "value"]
    assert indexes.apply(engine, False) == names
    assert indexes.look(engine) == ([], [index for index in INDEXES if index.table != "trace_tags"])


def test_an_index_waits_for_a_client_that_holds_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)

    class Held:
        def __init__(self, error: int) -> None:
            self.tries, self.error = 0, error

        def exec_driver_sql(self, statement: str) -> None:
            self.tries += 1
            if self.tries < 4:
                raise OperationalError(statement, None, RuntimeError(self.error, "why"))

    held: Any = Held(indexes.LOCK_WAIT_TIMEOUT)
    indexes.change(held, "CREATE INDEX")
    assert (held.tries, len(waited)) == (4, 3)
    with pytest.raises(OperationalError):
        indexes.change(Held(1061), "CREATE INDEX")


def test_no_index_begins_with_a_column_of_a_foreign_key(uri: str) -> None:
    found = inspect(create_engine(uri))
    for index in INDEXES:
        keys = [key["constrained_columns"] for key in found.get_foreign_keys(index.table)]
        assert not any(list(index.columns[: len(key)]) == key for key in keys), index.name


@pytest.mark.parametrize(("count", "buckets"), [(1, 1), (10, 3), (2500, 2500), (10_007, 2500), (999, 320)])
def test_buckets_begin_where_ntile_has_them(count: int, buckets: int) -> None:
    rows = f"WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < {count - 1})"
    with create_engine("sqlite://").connect() as connection:
        numbered = f"SELECT n, NTILE({buckets}) OVER (ORDER BY n) AS b FROM s"
        found = connection.exec_driver_sql(f"{rows} SELECT MIN(n) FROM ({numbered}) GROUP BY b ORDER BY b")
        assert chart.bucket_starts(count, buckets) == [row[0] for row in found]


CHARTS: dict[str, tuple[Callable[[int], int], bool]] = {
    "each step": (lambda n: n, True),
    "every tenth step": (lambda n: 7 + 10 * n, True),
    "each step, and after a pause": (lambda n: n if n < 613 else 10**8 + n, True),
    "each step, then every tenth": (lambda n: n if n < 401 else 10 * n, True),
    "three pauses, and one step alone": (lambda n: n + 5000 * (n // 299) + (n == 999) * 10**6, True),
    "a pause every 20 steps": (lambda n: n + 7 * (n // 20), False),
    "one step for all": (lambda n: 3, False),
    "steps that grow": (lambda n: n * n, False),
    "the first step has two values": (lambda n: max(n, 1) - 1, False),
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_has_the_values_that_mlflow_samples(uri: str, name: str) -> None:
    step, indexed = CHARTS[name]
    store = SqlAlchemyStore(uri, "mlflow-artifacts:/")
    run = store.create_run("0", "u", 1, [], "r").info.run_id
    rows = [
        {"key": "m", "value": n % 13, "timestamp": n, "step": step(n), "is_nan": n % 50 == 0, "run_uuid": run}
        for n in range(1000)
    ]
    with Session(store.engine) as session:
        session.execute(sqlalchemy.insert(SqlMetric), rows)
        filters = [SqlMetric.run_uuid == run, SqlMetric.key == "m"]
        for points in (2, 77, 320, 499):
            stock = store._sample_rows_with_window_functions(session, filters, ORDER, points)
            found = chart.sample(session, SqlMetric, filters, ORDER, points)
            assert (found is not None) == indexed
            assert found is None or [tuple(row) for row in found] == [tuple(row) for row in stock]
        assert chart.sample(session, SqlMetric, filters, ORDER, 501) is None


def test_the_chart_of_a_resumed_run_has_one_value_for_each_step(uri: str) -> None:
    store = SqlAlchemyStore(uri, "mlflow-artifacts:/")
    run = store.create_run("0", "u", 1, [], "r").info.run_id
    # The run logged the steps 0 to 699, and then the steps 600 to 999 after it was resumed.
    steps = [*range(700), *range(600, 1000)]
    rows = [
        {"key": "m", "value": n, "timestamp": n, "step": step, "is_nan": False, "run_uuid": run}
        for n, step in enumerate(steps)
    ]
    with Session(store.engine) as session:
        session.execute(sqlalchemy.insert(SqlMetric), rows)
        found = chart.sample(session, SqlMetric, [SqlMetric.run_uuid == run, SqlMetric.key == "m"], ORDER, 100)
    assert found is not None
    assert [row.step for row in found] == [*range(0, 990, 10), 999]
    assert [row.value for row in found] == [*range(0, 700, 10), *range(800, 1090, 10), 1099]


@pytest.fixture
def compared() -> Any:
    """Return MLflow's function that builds SQL comparisons, as search.py extends it."""
    return search.with_index(SearchUtils.get_sql_comparison_func)


def test_a_list_of_values_is_compared_with_the_column_itself_too(compared: Any) -> None:
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion

    condition = compared("IN", "mysql")(SqlModelVersion.run_id, ("a", "b"))
    said = " ".join(str(condition).split())
    assert "model_versions.run_id IN" in said
    assert "BINARY model_versions.run_id IN" in said
    assert "BINARY" not in str(compared("IN", "sqlite")(SqlModelVersion.run_id, ("a", "b")))
    assert str(compared("IN", "mysql")(SqlModelVersion.version, (1, 2))).count("IN") == 1


@pytest.mark.parametrize(
    ("wanted", "bounded"), [("name = 'model-2'", 0), ("run_id IN ('r1', 'r2')", 0), ("version_number > 1", 1)]
)
def test_versions_that_an_index_finds_need_no_bound(
    uri: str, wanted: str, bounded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(search.Page, "bound", lambda _, rows: asked.append(rows))
    monkeypatch.setattr(search, "FEW", 3)
    registry = Registry(uri)
    for number in range(1, 4):
        registry.create_registered_model(f"model-{number}")
        for run in range(3):
            registry.create_model_version(f"model-{number}", "s", f"r{run}" if number == 2 else "other")
    event.listen(Session, "do_orm_execute", search.answer)
    try:
        registry.search_model_versions(wanted)
        assert len(asked) == bounded
        # More versions than FEW need the bound.
        registry.create_model_version("model-2", "s", "r1")
        registry.create_model_version("model-2", "s", "r2")
        registry.search_model_versions(wanted)
        assert len(asked) == bounded + 1
    finally:
        event.remove(Session, "do_orm_execute", search.answer)


@pytest.mark.parametrize(
    ("comparator", "value", "found"),
    [
        ("=", "a", True),
        ("IN", ("a", "b"), True),
        ("LIKE", "a%", True),
        ("LIKE", "%a", False),
        ("LIKE", "_a", False),
        ("LIKE", "", False),
        ("ILIKE", "a%", False),
        ("!=", "a", False),
        ("RLIKE", "a", False),
    ],
)
def test_the_index_of_values_finds_a_value_and_its_beginning_on_mysql(
    compared: Any, comparator: str, value: Any, found: bool
) -> None:
    where = sqlalchemy.and_(SqlTag.key == "t", compared(comparator, "mysql")(SqlTag.value, value))
    assert search.finds_value(where, SqlTag.__table__) == found
    assert not search.finds_value(where, SqlMetric.__table__)


def test_a_comparison_that_mlflow_writes_as_sql_is_understood(compared: Any) -> None:
    condition = compared("=", "mysql")(SqlTag.value, "it's :x")
    assert search.compared(condition, SqlTag.__table__) == ("value", ["it's :x"])
    assert search.compared(condition, SqlMetric.__table__) is None


@pytest.mark.parametrize(("number", "goes_on"), [(1176, True), (2013, False)])
def test_a_search_goes_mlflows_own_way_without_its_index_and_only_then(
    number: int, goes_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise DBAPIError("SELECT", None, RuntimeError(number, "why"))

    monkeypatch.setattr(search, "leading", lambda _: (None, False))
    monkeypatch.setattr(search.Page, "__init__", lambda *_: None)
    monkeypatch.setattr(search.Page, "of_few", refuse)
    state: Any = SimpleNamespace(is_select=True, statement=None)
    with nullcontext() if goes_on else pytest.raises(DBAPIError):
        assert search.answer(state) is None
