"""Two shorter ways through MLflow's store, by SQLAlchemy's own means.

The first page of a search that is ordered by a metric: MLflow joins every run of the experiment with the metric, and
sorts. An index on the values (schema.py makes it) knows which come first: what is not among the first DIVE times a page
is left out, and where a page comes full that way, it is the page. Else MLflow's statement runs as it is.

Metrics that are logged: SQLAlchemy keeps account of each as an object, which is a third of a batch's time. Nobody asks
for these objects again: their rows are inserted at once, in the same transaction, with the same errors.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric
from sqlalchemy import event, insert, select
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.sql.expression import Select, Subquery, UnaryExpression
from sqlalchemy.sql.operators import desc_op

DIVE = 10


def metric_in_order(statement: Any) -> tuple[Any, bool] | None:
    """The column of metrics that orders a page of runs, and whether the largest comes first; None if nothing does."""
    if not isinstance(statement, Select) or statement._limit is None or len(order := statement._order_by_clauses) < 2:
        return None
    # After the column that puts runs without the metric last: MLflow's _get_orderby_clauses.
    column = order[1].element if (down := getattr(order[1], "modifier", None) is desc_op) else order[1]
    table = getattr(column, "table", None)
    if isinstance(column, UnaryExpression) or not isinstance(table, Subquery) or str(order[0]) != "clause_1":
        return None
    return (column, down) if SqlLatestMetric.__table__ in table.element.get_final_froms() else None


def first_page(state: ORMExecuteState) -> Any:
    """Answer from the first values, if they make a page; None lets the statement run as it is."""
    if not state.is_select or not (found := metric_in_order(state.statement)):
        return None
    column, down = found
    number, end = column.table.c.is_nan == False, (state.statement._offset or 0) + state.statement._limit  # noqa: E712
    value = select(column).where(number).order_by(column.desc() if down else column).offset(DIVE * end - 1).limit(1)
    last = state.session.connection().scalar(value)
    if last is None:
        return None
    statement = state.statement.where(number, column >= last if down else column <= last)
    page = state.invoke_statement(statement=statement).freeze()
    return page() if len(page.data) == state.statement._limit else None


def add_all(self: Session, instances: Iterable[object]) -> None:
    """Take the place of Session.add_all: insert metrics, and hand on everything else."""
    rows = list(instances)
    if not (rows and isinstance(rows[0], SqlMetric | SqlLatestMetric)):
        hand_on(self, rows)
        return
    table = rows[0].__table__
    names = [column.name for column in table.columns]
    self.execute(insert(table), [{name: getattr(row, name) for name in names} for row in rows])


hand_on = Session.add_all


def install() -> None:
    """Let every session of MLflow's go this way."""
    event.listen(Session, "do_orm_execute", first_page)
    Session.add_all = add_all
