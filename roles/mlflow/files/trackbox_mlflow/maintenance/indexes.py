"""Add or drop the indexes of trackbox_mlflow/indexes.py, also while clients write.

    python -m trackbox_mlflow.maintenance.indexes add|drop|missing URI

Prints the names of the indexes that were added, were dropped or are missing; `ready` if there are none.
"""

from __future__ import annotations

import sys
import time

import sqlalchemy
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from trackbox_mlflow.indexes import INDEXES, Index

# Adding or dropping an index locks the table briefly at the start and at the end. While the change waits for the
# lock, clients' statements queue behind it, so the wait must be short.
LOCK_SECONDS = 5
TRIES = 60
LOCK_WAIT_TIMEOUT = 1205  # MySQL's error code for a lock wait that timed out


def look(engine: Engine) -> tuple[list[Index], list[Index]]:
    """Return the indexes that the schema has, and those that it lacks although it has their tables and columns."""
    found = sqlalchemy.inspect(engine)
    tables = {index.table for index in INDEXES} & set(found.get_table_names())
    columns = {table: {str(column["name"]) for column in found.get_columns(table)} for table in tables}
    names = {one["name"] for table in tables for one in found.get_indexes(table)}
    has = [index for index in INDEXES if index.name in names]
    lacks = [one for one in INDEXES if one.name not in names and columns.get(one.table, set()).issuperset(one.columns)]
    return has, lacks


def change(connection: Connection, statement: str) -> None:
    """Run a statement that changes a table. Repeat it while a client's transaction keeps the table locked."""
    for attempt in range(TRIES):
        try:
            connection.exec_driver_sql(statement)
            return
        except OperationalError as error:
            if not error.orig or error.orig.args[0] != LOCK_WAIT_TIMEOUT or attempt == TRIES - 1:
                raise
            time.sleep(LOCK_SECONDS)


def apply(engine: Engine, wanted: bool) -> list[str]:
    """Add the missing indexes if they are wanted, otherwise drop the existing ones; return their names."""
    has, lacks = look(engine)
    mysql = engine.dialect.name == "mysql"
    with engine.connect() as connection:
        if mysql:
            connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {LOCK_SECONDS}")
        online = "ALGORITHM=INPLACE LOCK=NONE" if mysql else ""
        for index in lacks if wanted else has:
            if wanted:
                change(connection, f"CREATE INDEX {index.name} ON {index.table} ({index.parts(mysql)}) {online}")
            else:
                change(connection, f"DROP INDEX {index.name}" + (f" ON {index.table} {online}" if mysql else ""))
        connection.commit()
    return [index.name for index in (lacks if wanted else has)]


def main(command: str, uri: str) -> None:
    """Add, drop or check the indexes, and print their names."""
    engine = sqlalchemy.create_engine(uri)
    names = [index.name for index in look(engine)[1]] if command == "missing" else apply(engine, command == "add")
    print(*names or ["ready"])


if __name__ == "__main__":
    main(*sys.argv[1:])
