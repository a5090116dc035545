"""The reference profile counts each value of a column once, whatever the distribution."""

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fraud.evaluation.calibration import calibrate
from fraud.evaluation.reference_profile import (
    BINS,
    MOST_BYTES,
    bin_edges,
    describe_column,
    describe_columns,
    read_profile,
    reference_profile,
)

RNG = np.random.default_rng(5)
NORMAL = RNG.standard_normal(5000)
ODD: dict[str, tuple[Any, int, dict[str, float]]] = {
    # A column, its number of bins, and its shares out of range or missing.
    "normal": (NORMAL, 10, {}),
    "few rows": ([3.0, 1.0, 2.0], 3, {}),
    "one row": ([3.0], 1, {}),
    "constant": ([7.5] * 100, 1, {}),
    "constant zero": ([0.0] * 100, 1, {}),
    "booleans": (RNG.random(1000) < 0.3, 2, {}),
    "a rare boolean": (np.arange(1000) == 7, 2, {}),
    "integers": (RNG.integers(0, 5, 1000), 5, {}),
    "mostly zero": (np.where(RNG.random(1000) < 0.95, 0.0, RNG.random(1000)), 2, {}),
    "mostly its largest": (np.where(RNG.random(1000) < 0.95, 9.0, RNG.random(1000)), 2, {}),
    "half missing": (np.where(np.arange(1000) % 2, np.nan, np.arange(1000)), 10, {"missing": 0.5}),
    "all missing": ([np.nan] * 10, 0, {"missing": 1.0}),
    "infinite": ([np.inf, -np.inf, -np.inf, 1.0, 2.0], 2, {"below": 0.4, "above": 0.2}),
    "only infinite": ([np.inf, -np.inf], 0, {"below": 0.5, "above": 0.5}),
    "huge": ([-1.7e308, 0.0, 1.7e308], 3, {}),
    "tiny": ([5e-324, 1e-323, 1.5e-323], 3, {}),
    "neighbours": ([1.0, np.nextafter(1.0, 2.0)] * 50, 2, {}),
    "no rows": ([], 0, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_each_value_has_one_bin_and_no_bin_is_empty(name: str) -> None:
    values, bins, further = ODD[name]
    found = describe_column("x", np.asarray(values))
    edges, shares = found["edges"], found["shares"]
    assert all(low < high for low, high in pairwise(edges))
    assert np.isfinite(edges).all()
    assert len(shares) == len(edges) - 1 == bins
    assert min(shares, default=1) > 0
    outside = {key: found[key] for key in ("below", "above", "missing") if found[key]}
    assert outside == pytest.approx(further)
    total = sum(shares) + found["below"] + found["above"] + found["missing"]
    assert total == pytest.approx(1 if len(values) else 0)
    assert found["rows"] == len(values)
    json.dumps(found, allow_nan=False)


def test_the_bins_of_a_continuous_column_have_equal_shares() -> None:
    assert describe_column("x", NORMAL)["shares"] == pytest.approx([1 / BINS] * BINS)


def test_a_frequent_value_has_a_bin_of_its_own() -> None:
    values = np.concatenate([np.linspace(-9, -1, 50), np.zeros(600), np.linspace(1, 50, 350)])
    found = describe_column("x", values)
    assert found["shares"][:2] == [0.05, 0.6]
    assert found["edges"][1:3] == [-0.5, 0.5]
    every = np.repeat(np.arange(9.0), 100) + np.where(np.arange(900) % 100 == 0, -0.5, 0)
    assert BINS < len(bin_edges(every)) <= 2 * BINS + 1


@pytest.mark.parametrize("name", ["normal", "constant", "integers", "mostly zero", "booleans"])
def test_values_that_a_client_rounds_stay_in_their_bins(name: str) -> None:
    values = np.asarray(ODD[name][0], dtype=np.float64) * 0.1
    edges = bin_edges(values)
    rounded = values.astype(np.float32).astype(np.float64)
    moved = np.searchsorted(edges, values) != np.searchsorted(edges, rounded)
    # If all values differ, rounding may move a value across an edge that lies next to it.
    assert moved.mean() < 1e-3
    assert name == "normal" or not moved.any()


def test_a_profile_has_features_scores_and_the_flagged_share() -> None:
    whole = pd.array([None, 1, 2, 2] * 1250, dtype="Int64")
    frame = pd.DataFrame({"a": NORMAL, "b": NORMAL > 0, "c": whole})
    text = reference_profile(describe_columns(frame), np.array([0.1, 0.2, 0.9, 0.5]), 0.5)
    found = json.loads(text)
    assert found["schema"] == 1
    assert [column["name"] for column in found["columns"]] == ["a", "b", "c"]
    assert [column["missing"] for column in found["columns"]] == [0, 0, 0.25]
    assert (found["score"]["rows"], found["flagged"]) == (4, 0.5)
    assert len(text) < MOST_BYTES


def test_a_profile_that_no_reader_would_take_is_not_written() -> None:
    wide = pd.DataFrame(np.zeros((2, 201)))
    with pytest.raises(ValueError, match="201 columns"):
        reference_profile(describe_columns(wide), np.zeros(3), 0.5)
    long = describe_columns(pd.DataFrame({"n" * MOST_BYTES: NORMAL}))
    with pytest.raises(ValueError, match="bytes"):
        reference_profile(long, np.zeros(3), 0.5)
    with pytest.raises(ValueError, match="0 scores"):
        reference_profile((), np.zeros(0), 0.5)


def written() -> dict[str, Any]:
    """A profile with a calibration, decoded."""
    scores = np.linspace(0, 1, 200)
    calibration = calibrate((RNG.random(200) < scores).astype(int), scores, 0.7)
    columns = describe_columns(pd.DataFrame({"a": NORMAL, "b": NORMAL > 0}))
    found: dict[str, Any] = json.loads(reference_profile(columns, scores, 0.7, calibration))
    return found


def test_a_profile_is_read_as_it_was_written() -> None:
    given = written()
    found = read_profile(json.dumps(given).encode())
    assert [one.name for one in found.references] == ["a", "b", "score"]
    assert found.columns[0].rows == 5000
    assert found.columns[0].shares == pytest.approx([0] + [0.1] * 10 + [0, 0])
    assert found.flagged == given["flagged"] == 0.3
    assert found.calibration is not None
    assert (found.calibration.threshold, sum(found.calibration.rows)) == (0.7, 200)
    # Profiles of other packages, and those that were written before, have none.
    del given["calibration"]
    assert read_profile(json.dumps(given).encode()).calibration is None


MALFORMED: dict[str, tuple[tuple[str | int, ...], Any]] = {
    "another schema": (("schema",), 2),
    "no columns": (("columns",), None),
    "a column that is none": (("columns",), [1]),
    "a share too few": (("score", "shares"), [1.0]),
    "shares above 1": (("score", "missing"), 0.5),
    "edges in disorder": (("score", "edges"), [0.0] * 11),
    "a threshold that is no edge": (("calibration", "threshold"), 0.123),
    "an edge too few": (("calibration", "edges"), [0.7]),
    "more frauds than rows": (("calibration", "frauds"), [10**6]),
    "a share that is NaN": (("score", "missing"), float("nan")),
    "a share that is text": (("score", "missing"), "0"),
    "a share that is a boolean": (("score", "missing"), False),
    "shares that are text": (("score", "shares"), "1" * 10),
    "an edge that is NaN": (("score", "edges"), [float("nan"), *range(10)]),
    "an edge that is infinite": (("score", "edges"), [*range(10), float("inf")]),
    "an edge that is text": (("score", "edges"), [*range(10), "11"]),
    "an edge that no float holds": (("score", "edges"), [*range(10), 10**400]),
    "rows that are a fraction": (("score", "rows"), 1.5),
    "rows that are text": (("score", "rows"), "200"),
    "no rows": (("score", "rows"), 0),
    "two columns of one name": (("columns", 1, "name"), "a"),
    "a name that is a number": (("score", "name"), 7),
    "a flagged share that is NaN": (("flagged",), float("nan")),
    "a flagged share above 1": (("flagged",), 1.5),
    "a calibration that is a list": (("calibration",), [1]),
    "a calibration without fields": (("calibration",), {}),
    "a threshold that is text": (("calibration", "threshold"), "0.7"),
    "frauds that are fractions": (("calibration", "frauds"), 0.5),
    "an edge of the calibration that is NaN": (("calibration", "edges"), float("nan")),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_profile_is_refused(name: str) -> None:
    given: Any = written()
    (*path, last), value = MALFORMED[name]
    inner = given
    for key in path:
        inner = inner[key]
    if name == "more frauds than rows":
        value = [rows + 1 for rows in inner["rows"]]
    # Only one value of the list is malformed.
    if isinstance(value, float) and isinstance(inner[last], list):
        value = [value, *inner[last][1:]]
    inner[last] = value
    with pytest.raises(
        ValueError,
        match=r"^(it|its|an edge of its|a share of its|the (threshold|rows|frauds) of its) ",
    ):
        read_profile(json.dumps(given).encode())


@pytest.mark.parametrize("text", [b"[1]", b"{", b'"x"', b"[" * 10**5, b" " * (MOST_BYTES + 1)])
def test_what_is_no_profile_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_profile(text)
