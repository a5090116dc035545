"""Reads the pages of long lists through an index: lists of runs, traces, models, model versions and experiments.

For each page, MLflow joins, sorts and numbers all rows of the list. This module adds one of two conditions to MLflow's
statement, with the indexes of indexes.py. Neither condition changes the rows of the page:

- A bound. A page contains the rows that come first in the order of a column. The index gives the column's value at the
  end of the page, or some pages later if filters drop rows. Only rows up to this value are joined and sorted. If these
  rows fill the page, the page is exact, because all other rows come later.
- The rows of a filter. If few rows match a filter, they are read first, and no other rows are joined.

Otherwise MLflow's own statement runs, as it does without the indexes. It also runs if this module fails at a statement.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

from sqlalchemy import String, and_, event, func, literal, select, union_all
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, BooleanClauseList, Case
from sqlalchemy.sql.expression import Select, Subquery, TextClause, UnaryExpression

from trackbox_mlflow import indexes, patches

# If a filter drops rows, or if the index contains rows of other experiments, the bound must lie beyond the page's end.
# The number of rows up to the bound is the number of rows up to the page's end, times the first factor. If these rows
# do not fill the page, the second factor is used.
PAGES = (10, 100)
# If a page ends beyond this row number, MLflow's own statement runs, which sorts all rows.
FARTHEST = 50_000
# If at most this many rows match a filter, they are read first, and MLflow's statement then reads no other rows.
FEW = 1_000
# A comparison such as LIKE needs all texts of a key. If a list has at most this many rows, MLflow's own statement is
# faster, because it reads only the texts of these rows.
SHORT = 3_000
# A bound is computed from at most this many lists, each of one experiment and lifecycle stage.
LISTS = 20
# On MySQL, MLflow writes comparisons of texts as SQL, such as `(tags.value = :value AND BINARY tags.value = :value)`.
WRITTEN = re.compile(r"\((\w+)\.(\w+) (=|LIKE) :\w+ AND BINARY ")
STAGES = ("active", "deleted")
# Columns by which an index finds the rows of a list, without a bound.
LOOKED_UP = {("model_versions", "name"), ("model_versions", "run_id")}
NO_SUCH_INDEX = 1176  # MySQL's error code for a missing index
# Errors of this module at a statement whose form it does not know, for example of a newer MLflow.
UNKNOWN = (AttributeError, KeyError, TypeError, ValueError)

logger = logging.getLogger("trackbox")


@dataclass(frozen=True)
class Order:
    """A column by which a list is sorted, and the index that contains this column.

    scope: the index's columns before this one; a search must compare each of them with values.
    values: whether the table contains metrics, parameters or tags, which have a `key`.
    """

    index: indexes.Index
    column: str
    scope: tuple[str, ...] = ()
    values: bool = False


ORDERS = {
    (order.index.table, order.column): order
    for order in (
        Order(indexes.METRICS, "value", values=True),
        Order(indexes.PARAMS, "value", values=True),
        Order(indexes.TAGS, "value", values=True),
        Order(indexes.RUNS, "start_time", ("lifecycle_stage", "experiment_id")),
        Order(indexes.LOGGED_MODELS, "creation_timestamp_ms", ("lifecycle_stage", "experiment_id")),
        Order(indexes.EXPERIMENTS_BY_CHANGE, "last_update_time", ("lifecycle_stage",)),
        Order(indexes.EXPERIMENTS_BY_CREATION, "creation_time", ("lifecycle_stage",)),
        Order(indexes.VERSIONS, "last_updated_time"),
        Order(indexes.MODELS, "last_updated_time"),
        # An index of MLflow's own schema.
        Order(
            indexes.Index("index_trace_info_experiment_id_timestamp_ms", "trace_info", (), ""),
            "timestamp_ms",
            ("experiment_id",),
        ),
    )
}
# The tables of texts, and the index of each that finds a value.
TEXTS = {index.table: index for index in indexes.INDEXES if index.prefix}
# The tables whose rows have tags, parameters or metrics in other tables, and the column that joins the other tables.
OWNERS = {"runs": "run_uuid", "trace_info": "request_id", "logged_models": "model_id"}


def base(table: Any) -> Any:
    """Return the only table of a subquery; None if it has several. Return `table` itself if it is no subquery."""
    if not isinstance(table, Subquery):
        return table
    if not isinstance(table.element, Select):  # a UNION
        return None
    froms = table.element.get_final_froms()
    return froms[0] if len(froms) == 1 else None


def same_table(one: Any, other: Any) -> bool:
    """Whether two tables have the same name. `is` is not enough, because the ORM makes annotated copies of tables."""
    return one is not None and getattr(one, "name", None) == other.name


def conditions(clause: Any) -> Iterator[Any]:
    """Yield the conditions that a WHERE joins by AND."""
    if isinstance(clause, BooleanClauseList) and clause.operator is operators.and_:
        for one in clause.clauses:
            yield from conditions(one)
    elif clause is not None:
        yield clause


def written(condition: Any, table: Any) -> tuple[str, str, Any] | None:
    """Return column, comparison and value of a condition that MLflow writes as SQL; None for any other condition."""
    found = WRITTEN.match(condition.text) if isinstance(condition, TextClause) else None
    if found is None or found[1] != table.name or len(condition._bindparams) != 1:
        return None
    [parameter] = condition._bindparams.values()
    return found[2], found[3], parameter.value


def finds_value(where: Any, table: Any) -> bool:
    """Whether the index of a table's values finds the rows of a filter: by a whole value or by its beginning."""
    beginnings = (
        found[2] for one in conditions(where) if (found := written(one, table)) and found[:2] == ("value", "LIKE")
    )
    return "value" in dict(comparisons(where, table)) or any(text[:1] not in ("", "%", "_") for text in beginnings)


def compared(condition: Any, table: Any) -> tuple[str, list[Any]] | None:
    """Return the column of `table` that a condition compares with values, and the values; None if it compares none."""
    if found := written(condition, table):
        return (found[0], [found[2]]) if found[1] == "=" else None
    if not isinstance(condition, BinaryExpression) or not same_table(getattr(condition.left, "table", None), table):
        return None
    name, value = condition.left.name, getattr(condition.right, "value", None)
    if value is None:
        return None
    if condition.operator is operators.in_op:
        return name, list(value)
    if condition.operator is operators.ne and name == "lifecycle_stage":
        return name, [stage for stage in STAGES if stage != value]
    return (name, [value]) if condition.operator is operators.eq else None


def leading(statement: Any) -> tuple[Any, bool] | None:
    """Return the column that orders a page, and whether the order descends; None if the statement has no such page.

    Rows without a value must come last. For that, MLflow orders by `clause_1` or a CASE before the column. If the order
    descends, MySQL and SQLite put these rows last anyway.
    """
    if not isinstance(statement, Select) or statement._limit is None or not statement._order_by_clauses:
        return None
    first, *others = statement._order_by_clauses
    nulls_last = last_without_value(first)
    if nulls_last and not others:
        return None
    column, descending = others[0] if nulls_last else first, False
    if isinstance(column, UnaryExpression):
        column, descending = column.element, column.modifier is operators.desc_op
    # A column that a subquery computes, such as MAX(timestamp_ms), has no attribute `nullable`.
    never_null = getattr(column, "nullable", None) is False
    if getattr(column, "table", None) is None or not (nulls_last or descending or never_null):
        return None
    return column, descending


def last_without_value(clause: Any) -> bool:
    """Whether MLflow uses this expression to sort rows without a value last."""
    element = clause.element if isinstance(clause, UnaryExpression) else clause
    return isinstance(element, Case) or str(element).startswith("clause_")


def comparisons(where: Any, table: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield each column of `table` that the conditions of a WHERE compare with values, and these values."""
    return (found for one in conditions(where) if (found := compared(one, table)))


class Page:
    """A page of a list, which a statement of MLflow requests. column, descending: the order of the list."""

    def __init__(self, state: ORMExecuteState, column: Any, descending: bool) -> None:
        """Find the order's index, if there is one."""
        self.state, self.statement = state, state.statement
        self.column, self.descending = column, descending
        self.table = base(column.table)
        self.order = ORDERS.get((getattr(self.table, "name", ""), column.name))
        self.connection = state.session.connection()
        self.end = (self.statement._offset or 0) + self.statement._limit
        self.conditions = list(conditions(self.statement.whereclause))
        self.filters = [target for target, _, _, how in self.statement._setup_joins if not how["isouter"]]

    def scopes(self) -> list[dict[str, Any]]:
        """Return the lists that the page comes from, for example one for each experiment.

        Each list is given by the values of the columns that precede the ordering column in the index.
        """
        assert self.order
        if self.order.values:
            inside = dict(comparisons(self.column.table.element.whereclause, self.table))
            return [{"key": inside["key"][0]}]
        found = dict(comparisons(self.statement.whereclause, self.table))
        names = self.order.scope
        if not set(names) <= set(found):
            return []
        return [dict(zip(names, values, strict=True)) for values in product(*(found[name] for name in names))]

    def first(self, scope: dict[str, Any], rows: int) -> Any:
        """Return a SELECT of the first `rows` values of the ordering column in the list that `scope` identifies."""
        assert self.order
        table, column = self.table, self.table.c[self.column.name]
        where: list[Any] = [table.c[name] == value for name, value in scope.items()]
        by: Any = column
        if "is_nan" in table.c:
            where.append(table.c.is_nan == False)  # noqa: E712
        if self.order.index.prefix:
            # The index contains `key` and only the first characters of `value`, so the server does not use it for
            # ORDER BY value. The server uses the index for ORDER BY key, if the condition is a range. This range
            # contains one key. The bound may be inexact, because bounded() checks that the rows fill the page.
            where = [table.c.key >= scope["key"], table.c.key < scope["key"] + "\0"]
            by = table.c.key
        else:
            where.append(column.is_not(None))
        order = by.desc() if self.descending else by.asc()
        hint = f"FORCE INDEX ({self.order.index.name})"
        return select(column).with_hint(table, hint, "mysql").where(*where).order_by(order).limit(rows)

    def bound(self, rows: int) -> Any:
        """Return the ordering column's value in row number `rows` of the merged lists; None if they have fewer rows."""
        lists = [self.first(scope, rows) for scope in self.scopes()]
        if not 0 < len(lists) <= LISTS:
            return None
        if len(lists) == 1:
            return self.connection.scalar(lists[0].limit(1).offset(rows - 1))
        every = union_all(*(select(one.subquery().c[0]) for one in lists)).subquery()
        order = every.c[0].desc() if self.descending else every.c[0].asc()
        return self.connection.scalar(select(every.c[0]).order_by(order).limit(1).offset(rows - 1))

    def filtered(self) -> bool:
        """Whether the index contains rows that a filter or a condition on the experiment excludes from the list."""
        assert self.order
        plain = [
            one for one in self.conditions if (found := compared(one, self.table)) and found[0] in self.order.scope
        ]
        return self.order.values or bool(self.filters) or len(plain) < len(self.conditions)

    def has_at_most(self, most: int, table: Any, conditions: list[Any]) -> bool:
        """Whether there are conditions on a table, and at most `most` of its rows match them. No more rows are read."""
        if not conditions:
            return False
        rows = select(literal(1)).select_from(table).where(*conditions).limit(most + 1).subquery()
        found: int = self.connection.scalar(select(func.count()).select_from(rows))
        return found <= most

    def few_looked_up(self) -> bool:
        """Whether an index finds the list's rows, and they are few, so that MLflow's own statement is fast."""
        own = [
            one
            for one in self.conditions
            if (found := compared(one, self.table)) and (self.table.name, found[0]) in LOOKED_UP
        ]
        return self.has_at_most(FEW, self.table, own)

    def bounded(self) -> Any:
        """Return the page, read from only the rows up to a bound; None if these rows do not fill it."""
        if not self.order or self.end > FARTHEST or self.few_looked_up():
            return None
        for pages in PAGES if self.filtered() else (1,):
            if (bound := self.bound(pages * self.end)) is None:
                return None
            conditions = [self.column >= bound if self.descending else self.column <= bound]
            if "is_nan" in self.column.table.c:
                conditions.append(self.column.table.c.is_nan == False)  # noqa: E712
            page = self.state.invoke_statement(statement=self.statement.where(*conditions)).freeze()
            if len(page.data) == self.statement._limit:
                return page()
        return None

    def short(self, owned: Any) -> bool:
        """Whether few rows of a table match the list's conditions on this table, such as its experiments."""
        return self.has_at_most(SHORT, owned, [one for one in self.conditions if compared(one, owned)])

    def few_of(self, target: Subquery, table: Any, owned: Any, name: str) -> list[str] | None:
        """Return the owners of the rows that match a filter; None if they are many, or take long to find.

        target, table: the filter's subquery and its table. owned, name: the table of the owners, and their column.
        """
        filtered = target
        if table.name in TEXTS and not finds_value(target.element.whereclause, table):
            if self.short(owned):
                return None
            # With the index of the values, the database would look up each row of the key.
            hint = f"IGNORE INDEX ({TEXTS[table.name].name})"
            filtered = target.element.with_hint(table, hint, "mysql").subquery()
        few = list(self.connection.scalars(select(filtered.c[name]).limit(FEW + 1)))
        return few if len(few) <= FEW else None

    def of_few(self) -> Any:
        """Return the page, read from only the rows that match a selective filter; None if no filter is selective."""
        for target in self.filters:
            table = base(target)
            if not isinstance(target, Subquery) or table is None or "value" not in table.c:
                continue
            found = [(one, OWNERS[one.name]) for one in self.statement.columns_clause_froms if one.name in OWNERS]
            for owned, name in found:
                if name in target.c and (few := self.few_of(target, table, owned, name)) is not None:
                    return self.state.invoke_statement(statement=self.statement.where(owned.c[name].in_(few)))
        return None


def answer(state: ORMExecuteState) -> Any:
    """Return the page that a statement requests, read through an index; None lets the statement run unchanged."""
    try:
        if not state.is_select or not (order := leading(state.statement)):
            return None
        page = Page(state, *order)
        return page.of_few() or page.bounded()
    except DBAPIError as error:
        if not error.orig or error.orig.args[0] != NO_SUCH_INDEX:
            raise
    except UNKNOWN as error:
        log_unknown(f"{type(error).__name__}: {error}")
    return None


@cache
def log_unknown(error: str) -> None:
    """Log each error once."""
    logger.warning("A statement of MLflow runs unchanged, because search.py does not know its form: %s", error)


def with_index(original: Any) -> Any:
    """Return MLflow's get_sql_comparison_func, with a second condition for IN that can use an index.

    MLflow's condition compares `BINARY column`, for which there is no index. The second condition compares the column
    itself. It drops no rows, because values that are equal byte by byte are equal in every collation.
    """

    def get_sql_comparison_func(comparator: str, dialect: str) -> Any:
        """Return a function that makes a condition from a column and its values."""
        compare = original(comparator, dialect)
        if comparator != "IN" or dialect != "mysql":
            return compare

        def listed(column: Any, values: Any) -> Any:
            condition = compare(column, values)
            return and_(column.in_(list(values)), condition) if isinstance(column.type, String) else condition

        return listed

    return get_sql_comparison_func


def install() -> None:
    """Let every session of SQLAlchemy's ORM try the indexes first."""
    if patches.PAGES.get():
        event.listen(Session, "do_orm_execute", answer)
    if original := patches.LISTED_VALUES.get():
        from mlflow.utils.search_utils import SearchUtils

        SearchUtils.get_sql_comparison_func = staticmethod(with_index(original))
