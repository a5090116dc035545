"""Test every cascading foreign key of MLflow's schema in an empty copy of it; print differences as JSON.

inside_cascades.py SOCKET COPY

COPY is an empty schema with MLflow's tables. Each table gets two rows for each row of its parent table, so that a
cascade over two levels affects two rows on each level. Then the script deletes each row with child rows, and changes
each referenced key. It rolls back after each change. The expected rows are computed from the old rows and constraints.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, ForeignKeyConstraint, MetaData, Table
from sqlalchemy.dialects.mysql import TINYINT
from sqlalchemy.exc import DBAPIError

Row = dict[str, Any]
Rows = dict[str, list[Row]]
ROWS = 2
numbers = itertools.count(1)


def value(column: sqlalchemy.Column[Any]) -> Any:
    """Return a unique value for a column."""
    number, kind = next(numbers), column.type.python_type
    if kind is str:
        return f"v{number}"
    if kind is bytes:
        return str(number).encode()
    if kind is dict:
        return {}
    return number % 2 if isinstance(column.type, TINYINT) else number


def fill(connection: Connection, metadata: MetaData) -> None:
    """Insert two rows into each table for each row of its first parent table, or two rows if it has no parent."""
    rows: Rows = {}
    for table in metadata.sorted_tables:
        keys = sorted(table.foreign_key_constraints, key=lambda key: (-len(key.columns), str(key.name)))
        parents = rows.get(keys[0].referred_table.name, [{}]) if keys else [{}]
        rows[table.name] = []
        for parent, place in itertools.product(parents, range(ROWS)):
            row = {column.name: value(column) for column in table.columns if column.computed is None}
            for key in reversed(keys):
                if key.referred_table is table:
                    row |= dict.fromkeys(key.column_keys)
                    continue
                referred = parent if key is keys[0] else rows[key.referred_table.name][place]
                row |= {element.parent.name: referred[element.column.name] for element in key.elements}
            connection.execute(table.insert(), row)
            rows[table.name].append(row)


def read(connection: Connection, metadata: MetaData) -> Rows:
    """Return every row of every table."""
    return {
        table.name: [dict(row) for row in connection.execute(table.select()).mappings()]
        for table in metadata.sorted_tables
    }


def referring(metadata: MetaData, table: Table) -> Iterator[ForeignKeyConstraint]:
    """Yield the foreign keys that refer to a table."""
    for other in metadata.sorted_tables:
        yield from (key for key in other.foreign_key_constraints if key.referred_table is table)


class RefusedError(Exception):
    """A foreign key forbids the change."""


def follow(metadata: MetaData, rows: Rows, table: Table, old: Row, new: Row | None) -> None:
    """Delete the row `old` from `rows`, or replace it by `new`, and do what the foreign keys prescribe in that case.

    new: the changed row; None deletes the row. Raises RefusedError if a foreign key forbids it.
    """
    if new is None:
        rows[table.name].remove(old)
    else:
        rows[table.name][rows[table.name].index(old)] = new
    for key in referring(metadata, table):
        pairs = [(element.parent.name, element.column.name) for element in key.elements]
        if new is not None and all(old[there] == new[there] for _, there in pairs):
            continue
        rule = ((key.ondelete if new is None else key.onupdate) or "RESTRICT").upper()
        for row in [row for row in rows[key.table.name] if all(row[here] == old[there] for here, there in pairs)]:
            if rule == "CASCADE":
                changed = None if new is None else row | {here: new[there] for here, there in pairs}
                follow(metadata, rows, key.table, row, changed)
            elif rule == "SET NULL":
                follow(metadata, rows, key.table, row, row | {here: None for here, _ in pairs})
            else:
                raise RefusedError


def sorted_rows(rows: Rows) -> dict[str, list[str]]:
    """Return the rows of each table as sorted JSON, for a comparison."""
    return {name: sorted(json.dumps(row, default=str, sort_keys=True) for row in some) for name, some in rows.items()}


def changes(metadata: MetaData, table: Table, row: Row) -> Iterator[tuple[str, Row | None]]:
    """Yield the changes of a row that are tested: the name of the change, and the new row, or None for a deletion.

    A column is changed if foreign keys refer to it, and if it is in no foreign key itself.
    """
    yield "delete", None
    columns = {element.column for key in referring(metadata, table) for element in key.elements}
    for name in sorted(column.name for column in columns if not column.foreign_keys):
        yield f"change {name}", row | {name: value(table.c[name])}


def attempt(connection: Connection, metadata: MetaData, table: Table, row: Row, new: Row | None) -> str:
    """Make a change in a transaction; return the difference from the expected rows, or ""."""
    expected: Rows | None = {name: [dict(one) for one in some] for name, some in read(connection, metadata).items()}
    try:
        follow(metadata, expected or {}, table, row, new)
    except RefusedError:
        expected = None
    where = sqlalchemy.and_(*(column == row[column.name] for column in table.primary_key))
    changed = {name: after for name, after in (new or {}).items() if after != row[name]}
    statement = table.delete().where(where) if new is None else table.update().where(where).values(**changed)
    try:
        connection.execute(statement)
    except DBAPIError as error:
        return "" if expected is None else str(error.orig)
    if expected is None:
        return "it was not refused"
    found, wanted = sorted_rows(read(connection, metadata)), sorted_rows(expected)
    return ", ".join(f"{name} has other rows" for name in wanted if found[name] != wanted[name])


def unchecked(uri: str) -> sqlalchemy.Engine:
    """Connect, and switch off CHECK constraints, which would refuse the test's values."""
    engine = sqlalchemy.create_engine(uri)
    found = sqlalchemy.inspect(engine)
    if getattr(engine.dialect, "is_mariadb", False):
        options = {"init_command": "SET SESSION check_constraint_checks = 0"}
        return sqlalchemy.create_engine(uri, connect_args=options)
    with engine.connect() as connection:
        for (_, table), checks in found.get_multi_check_constraints().items():
            for check in checks:
                connection.exec_driver_sql(f"ALTER TABLE `{table}` DROP CHECK `{check['name']}`")
    return engine


def main(socket: str, copy: str) -> dict[str, Any]:
    """Test all foreign keys; return the number of changes, and the differences."""
    engine = unchecked(f"mysql+pymysql://root@localhost/{copy}?unix_socket={socket}")
    metadata = MetaData()
    metadata.reflect(engine)
    for table in metadata.sorted_tables:
        if not table.foreign_key_constraints and not any(referring(metadata, table)):
            metadata.remove(table)
    with engine.begin() as connection:
        fill(connection, metadata)
    tried, wrong = 0, {}
    for table in metadata.sorted_tables:
        if not any(referring(metadata, table)):
            continue
        with engine.connect() as connection:
            row = read(connection, metadata)[table.name][0]
        for what, new in changes(metadata, table, row):
            with engine.connect() as connection:
                tried += 1
                if problem := attempt(connection, metadata, table, row, new):
                    wrong[f"{what} of {table.name}"] = problem
                connection.rollback()
    keys = [key for table in metadata.sorted_tables for key in table.foreign_key_constraints]
    cascading = [key for key in keys if "CASCADE" in (key.ondelete, key.onupdate)]
    return {"foreign keys": len(keys), "cascading": len(cascading), "tried": tried, "wrong": wrong}


print(json.dumps(main(*sys.argv[1:])))
