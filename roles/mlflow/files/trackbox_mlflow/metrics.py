"""Inserts logged metrics as rows, not as objects of SQLAlchemy's ORM.

The ORM tracks each object, which takes a third of a batch's time, and MLflow never uses these objects again. The rows
are inserted in the same transaction, and raise the same errors.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from trackbox_mlflow import patches


def install() -> None:
    """Replace Session.add_all by a function that inserts metrics as rows, if the patch fits these packages."""
    if not patches.BULK_METRICS.get():
        return
    from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric

    original_add_all = Session.add_all

    def add_all(self: Session, instances: Iterable[object]) -> None:
        """Insert a list of metrics as rows, and pass other lists to SQLAlchemy's own add_all."""
        rows: list[Any] = list(instances)
        if {type(row) for row in rows} not in ({SqlMetric}, {SqlLatestMetric}):
            original_add_all(self, rows)
            return
        table = rows[0].__table__
        names = [column.name for column in table.columns]
        self.execute(insert(table), [{name: getattr(row, name) for name in names} for row in rows])

    Session.add_all = add_all
