"""The first page of runs that are ordered by a metric comes from an index.

MLflow joins every run of the experiment with the metric, and sorts. The index `trackbox_metrics_in_order`, which
maintenance/schema.py makes, gives the best values in order. Only the runs with the CANDIDATES x page size best values
are joined: if they fill the page, it is exact; else MLflow's own statement runs.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import event, select
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.sql.expression import Select, Subquery, UnaryExpression
from sqlalchemy.sql.operators import desc_op

from trackbox_mlflow import patches

CANDIDATES = 10  # values for each run of the page: several experiments have values of the same metric


def ordering_metric(statement: Any, metrics: Any) -> tuple[Any, bool] | None:
    """Return the column of metrics that orders a page of runs, and whether it descends; None for another statement.

    metrics: MLflow's table latest_metrics.
    """
    if not isinstance(statement, Select) or statement._limit is None or len(order := statement._order_by_clauses) < 2:
        return None
    # MLflow's first column puts runs without the metric last (its _get_orderby_clauses).
    column = order[1].element if (descending := getattr(order[1], "modifier", None) is desc_op) else order[1]
    table = getattr(column, "table", None)
    if isinstance(column, UnaryExpression) or not isinstance(table, Subquery) or str(order[0]) != "clause_1":
        return None
    return (column, descending) if metrics in table.element.get_final_froms() else None


def install() -> None:
    """Let every session of SQLAlchemy's ORM try the index first."""
    if not (found := patches.METRIC_PAGE.get()):
        return
    metrics = found[-1]

    def first_page(state: ORMExecuteState) -> Any:
        """Answer a statement from the best values, if they fill the page; None lets it run as it is."""
        if not state.is_select or not (ordering := ordering_metric(state.statement, metrics)):
            return None
        column, descending = ordering
        end = (state.statement._offset or 0) + state.statement._limit
        number = column.table.c.is_nan == False  # noqa: E712
        best = select(column).where(number).order_by(column.desc() if descending else column)
        last = state.session.connection().scalar(best.offset(CANDIDATES * end - 1).limit(1))
        if last is None:
            return None
        statement = state.statement.where(number, column >= last if descending else column <= last)
        page = state.invoke_statement(statement=statement).freeze()
        return page() if len(page.data) == state.statement._limit else None

    event.listen(Session, "do_orm_execute", first_page)
