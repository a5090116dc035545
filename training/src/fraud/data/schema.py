"""The schema of the credit card data, and the checks that every data set must pass.

Source: Dal Pozzolo et al., *Calibrating probability with undersampling for unbalanced
classification*, 2015; Kaggle lists the data as `mlg-ulb/creditcardfraud`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fraud.errors import DataError

#: Seconds since the first transaction. This column orders the rows. It is not a feature, because
#: after a split by time, its values in the validation and test parts never occur in training.
TIME = "Time"
LABEL = "Class"
FEATURES = [f"V{i}" for i in range(1, 29)] + ["Amount"]
COLUMNS = [TIME, *FEATURES, LABEL]


@dataclass(frozen=True)
class Clean:
    """Rows that passed every check.

    Attributes:
        frame: `Time`, `V1`…`V28`, `Amount` as float64 and `Class` as int8, ordered by `Time`.
        notes: what cleaning changed, one sentence for each change.

    """

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()


def check_columns(
    names: list[str], source: str, required: list[str] = COLUMNS, extra: bool = False
) -> None:
    """Check the names of the columns, in any order.

    Args:
        names: names of the columns.
        source: name of the file or data set, for error messages.
        required: names that must be present.
        extra: whether other columns are allowed.

    Raises:
        DataError: a column occurs twice, is missing, or is not allowed.

    """
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise DataError(f"{source} has the column {doubled[0]} twice", "Keep one of them.")
    missing = [name for name in required if name not in names]
    if missing:
        listed = ", ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
        raise DataError(
            f"{source} lacks {len(missing)} of {len(required)} columns: {listed}",
            f"It needs {', '.join(required[:2])} … {required[-1]}, separated by commas.",
        )
    unknown = [name for name in names if name not in required]
    if unknown and not extra:
        raise DataError(
            f"{source} has a column {unknown[0]!r} that the schema does not know",
            "Remove it: only Time, V1 to V28, Amount and Class are used.",
        )


def check_numbers(frame: pd.DataFrame, source: str, first: int = 0) -> None:
    """Check that every cell is a finite float32, because tree models compute with float32.

    Args:
        frame: n rows of numbers.
        source: name of the file or data set, for error messages.
        first: number of rows of the source that precede `frame`.

    Raises:
        DataError: a cell is not finite; the message names its column and its row (the first row
            below the header is 1).

    """
    finite = np.abs(frame.to_numpy(dtype=np.float64)) <= np.finfo(np.float32).max
    if finite.all():
        return
    row, column = np.argwhere(~finite)[0]
    value = float(frame.iloc[:, column].iloc[row])
    what = "is empty or not a number" if np.isnan(value) else f"is {value}"
    raise DataError(
        f"{source}: row {first + row + 1}, column {frame.columns[column]} {what}",
        "Give every cell a finite number, or remove the row.",
    )


def check_labels(labels: pd.Series, source: str) -> None:
    """Raise DataError unless `Class` contains both 0 and 1, and no other value."""
    wrong = labels[~labels.isin([0, 1])]
    if len(wrong):
        raise DataError(
            f"{source}: row {wrong.index[0] + 1} has Class {wrong.iloc[0]:g}",
            "Class is 1 for a fraud and 0 for everything else.",
        )
    if labels.nunique() < 2:
        raise DataError(
            f"{source} has only rows of Class {labels.iloc[0]:g}",
            "Models need frauds (1) and others (0) to tell apart.",
        )


def clean(frame: pd.DataFrame, source: str) -> Clean:
    """Check a data set, sort it by time and drop exact duplicates.

    Args:
        frame: n rows of numbers, the columns of `COLUMNS` in any order.
        source: name of the file or data set, for error messages.

    Raises:
        DataError: the data set is empty, or one of the checks above fails.

    """
    if frame.empty:
        raise DataError(f"{source} has a header and no rows", "Add some transactions.")
    check_columns(list(frame.columns), source)
    frame = frame[COLUMNS].astype(np.float64).reset_index(drop=True)
    check_numbers(frame, source)
    check_labels(frame[LABEL], source)
    notes = []
    if not frame[TIME].is_monotonic_increasing:
        frame = frame.sort_values(TIME, kind="stable", ignore_index=True)
        notes.append("Time was out of order: the rows were sorted by it.")
    repeated = frame.duplicated()
    if repeated.any():
        frame = frame[~repeated].reset_index(drop=True)
        notes.append(f"{int(repeated.sum()):,} exact duplicates were dropped.")
    return Clean(frame.astype({LABEL: np.int8}), tuple(notes))
