"""The checks on every data set."""

import numpy as np
import pandas as pd
import pytest

from fraud.data.schema import COLUMNS, FEATURES, clean
from fraud.errors import DataError


def test_a_good_data_set_passes_unchanged(small: pd.DataFrame) -> None:
    cleaned = clean(small[COLUMNS[::-1]], "small")
    pd.testing.assert_frame_equal(cleaned.frame, small)
    assert cleaned.notes == ()


def test_exact_duplicates_are_dropped_and_counted(small: pd.DataFrame) -> None:
    cleaned = clean(pd.concat([small, small.head(7)]).sort_values("Time"), "doubled")
    assert len(cleaned.frame) == len(small)
    assert cleaned.notes == ("7 exact duplicates were dropped.",)


def test_rows_out_of_order_are_sorted_with_a_note(small: pd.DataFrame) -> None:
    cleaned = clean(small.sample(frac=1, random_state=0), "shuffled")
    assert cleaned.frame["Time"].is_monotonic_increasing
    assert "out of order" in cleaned.notes[0]


def change(frame: pd.DataFrame, column: str, value: float) -> pd.DataFrame:
    changed = frame.astype({column: np.float64})
    changed.loc[11, column] = value
    return changed


@pytest.mark.parametrize(
    ("value", "said"), [(np.nan, "empty or not a number"), (np.inf, "inf"), (1e300, "1e+300")]
)
def test_a_cell_without_a_finite_number_is_named(
    small: pd.DataFrame, value: float, said: str
) -> None:
    with pytest.raises(DataError, match=r"bad: row 12, column V3 is") as error:
        clean(change(small, "V3", value), "bad")
    assert said in str(error.value)


@pytest.mark.parametrize("value", [2.0, -1.0, 0.5])
def test_a_class_that_is_neither_0_nor_1_is_named(small: pd.DataFrame, value: float) -> None:
    with pytest.raises(DataError, match=f"row 12 has Class {value:g}"):
        clean(change(small, "Class", value), "bad")


@pytest.mark.parametrize("side", [0, 1])
def test_one_class_only_is_refused(small: pd.DataFrame, side: int) -> None:
    with pytest.raises(DataError, match=f"only rows of Class {side}"):
        clean(small[small["Class"] == side], "bad")


def test_no_rows_are_refused(small: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="no rows"):
        clean(small.head(0), "bad")


def test_missing_extra_and_doubled_columns_are_named(small: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="lacks 2 of 31 columns: V7, Amount"):
        clean(small.drop(columns=["V7", "Amount"]), "bad")
    with pytest.raises(DataError, match="column 'Country' that the schema does not know"):
        clean(small.assign(Country=1), "bad")
    with pytest.raises(DataError, match="the column V1 twice"):
        clean(small.set_axis(["Time", "V1", *FEATURES[:1], *COLUMNS[3:]], axis=1), "bad")
