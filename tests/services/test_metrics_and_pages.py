"""MLflow's store returns the same results with and without Trackbox's patches for metrics and search pages."""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asgi import empty_database
from sqlalchemy import event
from sqlalchemy.orm import Session
from trackbox_mlflow import metrics, search

pytest.importorskip("mlflow")
from mlflow.entities import Metric, Param, TraceInfo, TraceLocation, TraceState, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.dbmodels.models import SqlMetric, SqlParam
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracing.constant import TraceMetadataKey
from mlflow.utils.search_utils import SearchUtils

__all__ = ["empty_database"]


@pytest.fixture
def stock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Undo `install` after the test. The yielded list contains the SQLAlchemy listeners that `install` added."""
    added: list[Any] = []

    def listen(*given: Any) -> None:
        added.append(given)
        event.listen(*given)

    monkeypatch.setattr(Session, "add_all", Session.add_all)
    monkeypatch.setattr(SearchUtils, "get_sql_comparison_func", staticmethod(SearchUtils.get_sql_comparison_func))
    monkeypatch.setattr(search, "event", SimpleNamespace(listen=listen))
    yield added
    for given in added:
        event.remove(*given)


@pytest.fixture
def store(empty_database: Path, tmp_path: Path) -> SqlAlchemyStore:
    shutil.copy(empty_database, tmp_path / "store.db")
    return SqlAlchemyStore(f"sqlite:///{tmp_path}/store.db", str(tmp_path))


def fill(store: SqlAlchemyStore, count: int) -> str:
    """Create runs; return the experiment's id. Many runs have the same value of metric m, some have NaN or none."""
    chance, experiment = random.Random(7), str(store.create_experiment("e"))
    for number in range(count):
        run = store.create_run(experiment, "u", number, [], f"r{number}").info.run_id
        if number % 5:
            value = math.nan if number % 7 == 0 else chance.choice([chance.random(), 0.5])
            store.log_batch(run, [Metric("m", value, 1, step) for step in range(2)], [Param("p", "1")], [])
    return experiment


@pytest.fixture(scope="module")
def filled(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A database with an experiment of 60 runs."""
    path = tmp_path_factory.mktemp("filled") / "store.db"
    shutil.copy(empty_database, path)
    return path, fill(SqlAlchemyStore(f"sqlite:///{path}", "unused"), 60)


@pytest.mark.parametrize("order", ["metrics.m DESC", "metrics.m ASC", "attributes.start_time DESC", "params.p ASC"])
def test_pages_are_those_of_mlflow(filled: tuple[Path, str], stock: list[Any], order: str) -> None:
    path, experiment = filled
    store = SqlAlchemyStore(f"sqlite:///{path}", "unused")

    def pages() -> list[list[str]]:
        found, token = [], None
        for _ in range(3):
            page = store.search_runs([experiment], "", ViewType.ACTIVE_ONLY, 2, [order, "run_id"], token)
            found.append([run.info.run_id for run in page])
            token = page.token
        return found

    expected = pages()
    statements: list[str] = []
    search.install()
    event.listen(store.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    assert pages() == expected
    # Check that the patch is used: its SQL statements have a condition on the column by which the runs are sorted.
    assert any(">= ?" in text or "<= ?" in text for text in statements)


def test_a_page_that_the_best_values_do_not_fill_is_mlflows_own(store: SqlAlchemyStore, stock: list[Any]) -> None:
    first, second = fill(store, 3), str(store.create_experiment("other"))
    for number in range(30):
        run = store.create_run(second, "u", number, [], f"o{number}").info.run_id
        store.log_batch(run, [Metric("m", 100 + number, 1, 0)], [], [])
    search.install()
    found = store.search_runs([first], "", ViewType.ACTIVE_ONLY, 1, ["metrics.m DESC"])
    assert [run.info.experiment_id for run in found] == [first]


def test_a_page_in_the_order_of_a_computed_column_is_mlflows_own(store: SqlAlchemyStore, stock: list[Any]) -> None:
    for number, session in enumerate(("late", "early", "late")):
        location, metadata = TraceLocation.from_experiment_id("0"), {TraceMetadataKey.TRACE_SESSION: session}
        store.start_trace(TraceInfo(f"tr-{number}", location, number, TraceState.OK, trace_metadata=metadata))
    search.install()
    # MLflow orders sessions by the time of their last trace, MAX(timestamp_ms).
    assert [one.session_id for one in store.find_completed_sessions("0", 0, 9, max_results=1)] == ["early"]


def test_a_page_in_the_order_of_a_union_is_mlflows_own(store: SqlAlchemyStore, stock: list[Any]) -> None:
    names = {"com.example/first", "com.example/second"}
    for name in names:
        store.create_mcp_server_version({"name": name, "version": "1.0.0", "description": "d"})
        store.create_mcp_access_endpoint(name, "https://example.com", server_version="1.0.0")
    search.install()
    # MLflow selects the endpoints of versions and those of aliases, and joins them by UNION ALL.
    assert {one.server_name for one in store.search_mcp_access_endpoints()} == names


@pytest.mark.parametrize("error", [AttributeError, KeyError, ValueError])
@pytest.mark.parametrize("part", ["leading", "base", "conditions"])
def test_a_statement_at_which_the_program_fails_is_mlflows_own(
    store: SqlAlchemyStore,
    stock: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    part: str,
    error: type[Exception],
) -> None:
    def search_runs() -> list[str]:
        found = store.search_runs([experiment], "", ViewType.ACTIVE_ONLY, 5, ["metric.m DESC"])
        return [run.info.run_id for run in found]

    def fail(*_: object) -> None:
        raise error(f"no {part} of this statement")

    experiment = fill(store, 20)
    expected = search_runs()
    search.install()
    monkeypatch.setattr(search, part, fail)
    assert (search_runs(), search_runs()) == (expected, expected)
    assert [one.getMessage() for one in caplog.records if "search.py" in one.getMessage()] == [
        f"A statement of MLflow runs unchanged, because search.py does not know its form: {error.__name__}: "
        f"{error(f'no {part} of this statement')}"
    ]


def test_metrics_are_inserted_with_the_same_rows_and_errors(store: SqlAlchemyStore, stock: list[Any]) -> None:
    def rows(run: str) -> list[Any]:
        with store.engine.connect() as connection:
            parts = "SELECT key, value, timestamp, step, is_nan FROM {} WHERE run_uuid = '{}' ORDER BY key, step"
            return [
                list(connection.exec_driver_sql(parts.format(table, run))) for table in ("metrics", "latest_metrics")
            ]

    experiment = str(store.create_experiment("e"))
    batch = [Metric("m", value, 1, step) for step, value in enumerate((1.0, math.nan, math.inf))]
    runs = []
    for name in ("before", "after"):
        runs.append(store.create_run(experiment, "u", 1, [], name).info.run_id)
        # The second batch repeats metrics that the database already contains.
        store.log_batch(runs[-1], batch, [Param("p", "1")], [])
        store.log_batch(runs[-1], [*batch, Metric("n", 2.0, 1, 0)], [], [])
        if name == "before":
            metrics.install()
    assert rows(runs[0]) == rows(runs[1])
    assert len(rows(runs[1])[0]) == 4
    with pytest.raises(MlflowException, match="Changing param values is not allowed"):
        store.log_batch(runs[1], [], [Param("p", "2")], [])


def test_a_list_of_metrics_and_other_objects_is_added_by_sqlalchemy(store: SqlAlchemyStore, stock: list[Any]) -> None:
    run = store.create_run("0", "u", 1, [], "r").info.run_id
    metrics.install()
    with Session(store.engine) as session:
        metric = SqlMetric(run_uuid=run, key="m", value=1.0, timestamp=1, step=0, is_nan=False)
        session.add_all([metric, SqlParam(run_uuid=run, key="p", value="1")])
        session.commit()
    assert store.get_run(run).data.params == {"p": "1"}
    assert [one.value for one in store.get_metric_history(run, "m")] == [1.0]


def test_without_the_names_that_are_needed_nothing_is_changed(
    stock: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Session.add_all
    monkeypatch.delattr("mlflow.store.tracking.dbmodels.models.SqlLatestMetric")
    monkeypatch.delattr("sqlalchemy.sql.expression.Select")
    metrics.install()
    search.install()
    assert (Session.add_all, stock) == (before, [])
