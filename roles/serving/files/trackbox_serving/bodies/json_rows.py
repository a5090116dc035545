"""Read JSON bodies into a matrix, if it is certain that MLflow would read the same numbers.

For any other body the functions return None, and MLflow's own functions read it. This includes malformed bodies, so
that errors have MLflow's status and code. Only JSON numbers are accepted here, although MLflow also reads `"1.5"` and
`true` as numbers in some formats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from trackbox_serving.models.scorer import FLOAT32_MAX, Column

Matrix: TypeAlias = NDArray[np.float64]
Rows = Sequence[Sequence[Any]]

#: Integers above this limit are not exact in float64.
EXACT = 2**53


class Reader:
    """Reads bodies for a signature whose columns are all numeric."""

    def __init__(self, columns: list[Column]) -> None:
        self.names = [column.name for column in columns]
        self.known = set(self.names)
        # With a single name, itemgetter would return a value instead of a tuple.
        self.pick: Callable[[Any], Sequence[Any]] = (
            itemgetter(*self.names) if len(self.names) > 1 else lambda row: (row[self.names[0]],)
        )
        self.whole = [number for number, column in enumerate(columns) if column.kind != "double"]
        self.small = [number for number, column in enumerate(columns) if column.kind == "integer"]
        self.readers = {
            "dataframe_split": self.split,
            "dataframe_records": self.records,
            "inputs": self.inputs,
            "instances": self.instances,
        }

    def read(self, body: bytes) -> Matrix | None:
        """Return a matrix (n, k), n > 0, in the signature's column order, or None if MLflow has to read the body."""
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        if type(document) is not dict or len(document) != 1:
            return None
        [(key, value)] = document.items()
        if key not in self.readers:
            return None
        try:
            rows = self.readers[key](value)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        return self.matrix(rows) if rows else None

    def matrix(self, rows: Rows) -> Matrix | None:
        """Return the rows as a matrix, or None if a value is not a number that every model accepts."""
        kinds = set(map(type, chain.from_iterable(rows)))
        if not kinds <= {float, int, type(None)}:
            return None
        # Leave the body to MLflow if a column of whole numbers has fractions, which MLflow refuses, or missing values.
        if kinds != {int} and any(set(map(type, map(itemgetter(i), rows))) != {int} for i in self.whole):
            return None
        try:
            matrix = np.array(rows, dtype=np.float64)
        except (ValueError, OverflowError):
            return None
        return matrix if plain(matrix, self.whole, self.small) else None

    def split(self, value: Any) -> Rows | None:
        """Rows of pandas' `to_dict(orient="split")`."""
        given, rows = value["columns"], value["data"]
        if len(value) != 2 and not (len(value) == 3 and ordinary_index(value["index"], len(rows))):
            return None
        if type(given) is not list or type(rows) is not list:
            return None
        width = len(given)
        if any(type(row) is not list or len(row) != width for row in rows):
            return None
        if given == self.names:
            return rows
        # Leave the body to MLflow if column names are missing, occur twice or are not strings.
        if len(set(given)) != width or not all(type(name) is str for name in given) or not self.known.issubset(given):
            return None
        where = [given.index(name) for name in self.names]
        return [[row[i] for i in where] for row in rows]

    def records(self, value: Any) -> Rows | None:
        """Rows of pandas' `to_dict(orient="records")`."""
        if type(value) is not list or not all(type(row) is dict for row in value):
            return None
        return list(map(self.pick, value))

    def instances(self, value: Any) -> Rows | None:
        """Rows of TensorFlow's row format. Rows with further columns are left to MLflow, which has rules for them."""
        if type(value) is not list or not all(type(row) is dict and len(row) == len(self.names) for row in value):
            return None
        return list(map(self.pick, value))

    def inputs(self, value: Any) -> Rows | None:
        """Rows of TensorFlow's column format: a list for each column."""
        if type(value) is not dict or value.keys() != self.known:
            return None
        columns = self.pick(value)
        if not all(type(column) is list and len(column) == len(columns[0]) for column in columns):
            return None
        return list(zip(*columns, strict=True))


def ordinary_index(index: Any, rows: int) -> bool:
    """Return whether pandas accepts this value as the index of a table with that number of rows."""
    return type(index) is list and len(index) == rows and set(map(type, index)) in ({int}, {str})


def plain(matrix: Matrix, whole: Sequence[int] = (), small: Sequence[int] = ()) -> bool:
    """Return whether all models read these numbers in the same way.

    Each number must be missing or finite in float32. Whole numbers must be exact in float64.

    Args:
        matrix: values (n, k).
        whole: indices of the columns of whole numbers.
        small: indices of the columns of whole numbers that must fit into 32 bits.

    """
    if matrix.ndim != 2 or bool((np.abs(matrix) > FLOAT32_MAX).any()):
        return False
    if whole and not bool((np.abs(matrix[:, whole]) <= EXACT).all()):
        return False
    return not small or bool(((matrix[:, small] >= -(2**31)) & (matrix[:, small] < 2**31)).all())
