"""The split into three parts, and undersampling."""

import numpy as np
import pandas as pd
import pytest

from fraud.data.schema import FEATURES
from fraud.data.split import split, undersample
from fraud.errors import DataError


def keys(frame: pd.DataFrame) -> set[int]:
    return set(pd.util.hash_pandas_object(frame[FEATURES], index=False))


def test_by_time_the_parts_follow_each_other(small: pd.DataFrame) -> None:
    parts = split(small, "time", 0)
    assert parts.train["Time"].max() < parts.valid["Time"].min()
    assert parts.valid["Time"].max() < parts.test["Time"].min()
    sizes = [len(parts.train), len(parts.valid), len(parts.test)]
    assert sum(sizes) == len(small)
    np.testing.assert_allclose(np.array(sizes) / len(small), [0.6, 0.2, 0.2], atol=0.01)


def test_at_random_every_part_has_its_share_of_frauds(small: pd.DataFrame) -> None:
    parts = split(small, "random", 0)
    for part in (parts.train, parts.valid, parts.test):
        assert part["Class"].mean() == pytest.approx(0.06, abs=0.001)
    again, other = split(small, "random", 0), split(small, "random", 1)
    pd.testing.assert_frame_equal(parts.test, again.test)
    assert keys(parts.test) != keys(other.test)


def test_rows_of_one_payment_are_never_in_two_parts(small: pd.DataFrame) -> None:
    """Rows that differ only in time or label are the same payment."""
    later = small.sample(3000, random_state=0).assign(Time=lambda rows: rows["Time"] + 1)
    flipped = small.sample(500, random_state=1).assign(Class=lambda rows: 1 - rows["Class"])
    together = pd.concat([small, later, flipped], ignore_index=True)
    for seed in range(5):
        parts = split(together, "random", seed)
        assert not keys(parts.train) & keys(parts.valid)
        assert not keys(parts.train) & keys(parts.test)
        assert not keys(parts.valid) & keys(parts.test)


@pytest.mark.parametrize("how", ["time", "random"])
def test_fewer_than_20_frauds_in_a_part_are_refused(small: pd.DataFrame, how: str) -> None:
    few = pd.concat([small[small["Class"] == 0], small[small["Class"] == 1].head(90)])
    with pytest.raises(DataError, match="frauds; 20 are needed"):
        split(few.sort_values("Time"), how, 0)


def test_undersampling_keeps_all_frauds_and_reaches_the_share(small: pd.DataFrame) -> None:
    labels = pd.Series(np.repeat([0, 1], [9900, 100]))
    kept = labels.iloc[undersample(labels, 0.05, seed=0)]
    assert kept.sum() == 100
    assert kept.mean() == pytest.approx(0.05)
    assert len(undersample(labels, 0.005, seed=0)) == len(labels)
