"""Parts of the measurement of drift: hostile profiles are refused, counts are exact, and noise is not drift."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drift_rows import make_model
from scoring import VERSION, data, describe, wait_until
from trackbox_serving import settings, worker
from trackbox_serving.drift import stability
from trackbox_serving.drift.counting import Counts, blocks
from trackbox_serving.drift.profile import FILE, MOST_BYTES, Profile, ProfileError, parse, read
from trackbox_serving.drift.stability import Reference
from trackbox_serving.follower.drift import Counted, Drift, Model, drift_metrics
from trackbox_serving.follower.drift import parse as parse_counts
from trackbox_serving.log import batches
from trackbox_serving.log.batches import Batches
from trackbox_serving.log.rows import Entry, numbers
from trackbox_serving.models.scorer import Column
from trackbox_serving.names import FOLLOWER

__all__ = ["data"]

RNG = np.random.default_rng(11)


def column(name: Any = "a", **changed: Any) -> dict[str, Any]:
    """Return a valid description of a column, with some fields changed."""
    valid = {"rows": 100, "edges": [0.0, 1.0, 5], "below": 0.0, "shares": [0.5, 0.4], "above": 0, "missing": 0.1}
    return {"name": name, **valid, **changed}


def profile(**changed: Any) -> dict[str, Any]:
    """Return a valid profile of the columns a and b, with some fields changed."""
    return {"schema": 1, "columns": [column(), column("b")], "score": column("score"), "flagged": 0.02, **changed}


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def test_a_profile_is_read(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    (tmp_path / FILE).write_text(json.dumps(profile()))
    found = read(tmp_path)
    assert found
    assert [each.name for each in found.references] == ["a", "b", "score"]
    assert found.columns[0] == Reference("a", 100, (0.0, 1.0, 5.0), (0.0, 0.5, 0.4, 0.0, 0.1))


def test_the_profile_in_the_documentation_is_one() -> None:
    page = (Path(__file__).parents[2] / "docs/monitoring.md").read_text()
    [text] = [part for part in page.split("```json\n")[1:] if "edges" in part]
    assert [each.name for each in parse(json.loads(text.split("```")[0])).references] == ["Amount", "score"]


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ([], "schema"),
        (profile(schema=2), "schema"),
        (profile(columns={}), "list of 1 to 200 columns"),
        (profile(columns=[]), "list of 1 to 200 columns"),
        (profile(columns=[column(str(number)) for number in range(201)]), "list of 1 to 200 columns"),
        (profile(columns=[column(), column()]), "two columns of one name"),
        # In the metrics, a column `score` is renamed to `feature.score`, which is the other column's name.
        (profile(columns=[column("score"), column("feature.score")]), "two columns of one name"),
        (profile(columns=[column(), []]), r"columns\[1\] must have the fields"),
        (profile(columns=[column(further=1)]), r"columns\[0\] must have the fields"),
        (profile(score=None), "score must have the fields"),
        (profile(flagged="0.5"), "flagged must be a share"),
        (profile(flagged=1.5), "flagged must be a share"),
        (profile(flagged=True), "flagged must be a share"),
        (profile(flagged=10**400), "flagged must be a share"),
        (profile(score=column(name="")), "printable characters"),
        (profile(score=column(name="a\nb")), "printable characters"),
        (profile(score=column(name="a" * 201)), "printable characters"),
        (profile(score=column(name=5)), "printable characters"),
        (profile(score=column(rows=0)), "must be a number of rows"),
        (profile(score=column(rows=1.5)), "must be a number of rows"),
        (profile(score=column(rows=10**13)), "must be a number of rows"),
        (profile(score=column(edges=[])), "finite numbers"),
        (profile(score=column(edges=[0, 1, "2"])), "finite numbers"),
        (profile(score=column(edges=[0, 1, float("nan")])), "finite numbers"),
        (profile(score=column(edges=[0, 1, float("inf")])), "finite numbers"),
        (profile(score=column(edges=list(range(65)), shares=[1 / 64] * 64)), "finite numbers"),
        (profile(score=column(edges=[0, 5, 1])), "must ascend"),
        (profile(score=column(edges=[0, 1, 1])), "must ascend"),
        (profile(score=column(edges=[0, 2**53, 2**53 + 1])), "must ascend"),
        (profile(score=column(shares=[1.0])), "one share for each bin"),
        (profile(score=column(shares=[0.5, -0.1])), "shares that add up to 1"),
        (profile(score=column(shares=[0.5, 0.5])), "shares that add up to 1"),
        (profile(score=column(missing=None)), "shares that add up to 1"),
    ],
)
def test_a_hostile_profile_is_refused(broken: Any, why: str) -> None:
    with pytest.raises(ProfileError, match=why):
        parse(broken)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        (nested(100_000), "no JSON"),
        ('{"schema": ' + "1" * 5000 + "}", "no JSON"),
        (" " * (MOST_BYTES + 1), "more than 262144 bytes"),
    ],
)
def test_a_file_that_is_no_profile_is_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ProfileError, match=why):
        read(tmp_path)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_not_opened(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / FILE)
    with pytest.raises(ProfileError, match="cannot be opened"):
        read(tmp_path)


def reference(values: Any) -> Reference:
    """Return the distribution of values as `fraud` describes it."""
    from fraud.evaluation.reference_profile import describe_column

    found = describe_column("x", np.asarray(values))
    return parse(profile(score=found)).score


def count(where: Reference, values: Any) -> list[int]:
    """Count values in the bins of a reference by a simple loop, to check the fast implementation."""
    counts = [0] * len(where.shares)
    for value in np.asarray(values, dtype=float):
        place = -1 if np.isnan(value) else sum(value > edge for edge in where.edges)
        counts[place] += 1
    return counts


def entry(features: Any, scores: Any, user: str = "ann") -> Entry:
    return Entry("r", 0, user, 1.0, features, None if scores is None else np.asarray(scores, float), len(features))


def test_each_row_is_counted_in_its_bins() -> None:
    columns = [Column("c", "string"), Column("b", "double"), Column("a", "long")]
    found = parse(profile())
    counts = Counts(found, columns, 0.5, 2)
    counts.count([entry(np.zeros((2, 3)), [0.5, 0.5])])
    assert counts.snapshot()["rows"] == 0
    counts.claim()
    odd = np.array([0.0, 1.0, 5.0, -1e-9, 1 + 1e-9, 5.1, np.nan, np.inf, -np.inf, 0.3])
    matrix = np.column_stack([np.zeros(10), RNG.permutation(odd), odd])
    table = pd.DataFrame({"b": [0.5, None, 7.0], "c": ["x", "y", "z"]})
    scores = np.linspace(0, 1, 10)
    counts.count(
        [
            entry(matrix, scores),
            entry(matrix, scores, FOLLOWER),
            entry(table, None),
            entry("ab", [0.4, 0.6]),
        ]
    )
    said = counts.snapshot()
    lost = [np.nan] * 2
    assert said["counts"] == [
        count(found.columns[0], [*odd, *[np.nan] * 3, *lost]),
        count(found.columns[1], [*matrix[:, 1], 0.5, np.nan, 7.0, *lost]),
        count(found.score, [*scores, *[np.nan] * 3, 0.4, 0.6]),
    ]
    assert (said["rows"], said["flagged"]) == (15, 6)
    json.dumps(said)
    assert parse_counts(json.dumps(said).encode(), found)


def test_rows_are_counted_in_blocks_of_a_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackbox_serving.drift.counting.BLOCK", 10)
    columns = [Column("a", "double")]
    sizes = [3, 4, 4, 25, 1, 1, 10, 2]
    entries = [entry(np.full((size, 1), number), np.full(size, number)) for number, size in enumerate(sizes)]
    found = list(blocks(entries, columns))
    assert max(matrix.shape[1] for matrix, _ in found) == 10
    assert np.concatenate([matrix[0] for matrix, _ in found]).tolist() == np.repeat(range(8), sizes).tolist()
    assert all((matrix[0] == scores).all() for matrix, scores in found)
    assert list(blocks([], columns)) == []


def test_each_process_has_a_place_of_its_own_and_the_next_one_takes_it_over() -> None:
    counts = Counts(parse(profile()), [Column("a", "double"), Column("b", "double")], None, 2)
    waiting, over = os.pipe()
    children = []
    for _ in range(4):
        child = os.fork()
        if not child:
            counts.claim()
            counts.count([entry(np.ones((7, 2)), np.ones(7))])
            os.close(over)
            os.read(waiting, 1)
            os._exit(0)
        children.append(child)
    wait_until(lambda: counts.snapshot()["rows"] == 4 * 7)
    used = counts.totals.any(axis=1)
    os.close(over)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert (used.sum(), used[:4].all()) == (4, True)
    counts.claim()
    counts.count([entry(np.ones((7, 2)), np.ones(7))])
    assert (counts.totals.any(axis=1) == used).all()
    assert counts.snapshot()["rows"] == 5 * 7


@pytest.mark.parametrize("kind", ["string", "datetime"])
def test_a_profile_of_other_columns_than_the_signature_s_is_refused(kind: str) -> None:
    for columns in ([Column("a", "double")], [Column("a", "double"), Column("b", kind)]):
        with pytest.raises(ProfileError, match="no number in the model's signature"):
            Counts(parse(profile()), columns, None, 1)


def test_an_error_of_counting_harms_no_log(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    written: list[int] = []
    monkeypatch.setattr(Batches, "write", lambda _, __, count: written.append(count))
    monkeypatch.setattr(batches, "CLOSE_ROWS", 5)

    def fail(_: list[Any]) -> None:
        raise ValueError("secret")

    taken = Batches(100, fail)
    taken.start()
    for _ in range(3):
        taken.add(entry(np.zeros((4, 1)), np.zeros(4)))
    taken.stop()
    assert written == [8, 4]
    said = capsys.readouterr().err.splitlines()
    assert said == [f"{count} rows were not counted: ValueError" for count in written]


def test_the_index_of_equal_distributions_is_within_the_noise() -> None:
    draws = [RNG.standard_normal, lambda n: RNG.integers(0, 2, n), lambda n: np.where(RNG.random(n) < 0.9, 0, 1.5)]
    for draw in draws:
        for m, n in ((200, 10_000), (5000, 10_000), (1000, 1000)):
            for _ in range(30):
                where = reference(draw(m))
                counts = bins_of(where, draw(n))
                assert stability.index(where, counts) < stability.noise(where, n), (m, n)
    # The noise is large for a small sample, and small for a large sample.
    assert stability.noise(reference(RNG.standard_normal(40)), 10_000) > 0.25
    assert stability.noise(reference(RNG.standard_normal(1000)), 10_000) < 0.06


def bins_of(where: Reference, values: Any) -> list[int]:
    """Count values in the bins of a reference, fast enough for many values."""
    numbers = np.asarray(values, dtype=float)
    places = np.where(np.isnan(numbers), len(where.shares) - 1, np.searchsorted(where.edges, numbers))
    return np.bincount(places, minlength=len(where.shares)).tolist()


def test_the_index_is_that_of_the_textbook() -> None:
    where = reference(RNG.standard_normal(200_000))
    shift = RNG.standard_normal(200_000) + 0.5
    # The symmetric divergence of these two normal distributions is 0.25. With 10 bins the index is a little lower.
    assert stability.index(where, bins_of(where, shift)) == pytest.approx(0.239, abs=0.01)
    assert stability.index(where, [0] * len(where.shares)) == 0


@pytest.mark.parametrize(
    ("values", "words", "before", "now"),
    [
        (np.where(np.arange(1000) % 10 == 0, np.nan, np.linspace(0, 1, 1000)), "are missing", 0.0, 0.1),
        (np.linspace(-1, 1, 1000), "are below -1e-06 (the smallest in training)", 0.0, 0.5),
        (np.linspace(1.1, 2, 1000), "are above 1 (the largest in training)", 0.0, 1.0),
        (np.linspace(0.5, 1, 1000), "are above 0.5", 0.5, 1.0),
        (np.linspace(0, 0.5, 1000), "are above 0.5", 0.5, 0.0),
    ],
)
def test_what_has_changed_most_is_said_in_words(values: Any, words: str, before: float, now: float) -> None:
    where = reference(np.linspace(0, 1, 1000))
    said = stability.change(where, bins_of(where, values))
    assert said[0] == words
    assert said[1:] == pytest.approx((before, now), abs=0.01)


def test_large_numbers_are_written_out() -> None:
    where = reference(np.linspace(1_790_000_000, 1_790_864_000, 1000))
    words, *_ = stability.change(where, bins_of(where, np.full(100, 1_790_700_000.0)))
    assert words == "are above 1790691459"


def test_values_where_all_were_missing_are_said() -> None:
    where = reference([np.nan] * 100)
    counts = bins_of(where, [1.0] * 90 + [np.nan] * 10)
    assert stability.index(where, counts) > 0.25
    words, before, now = stability.change(where, counts)
    assert (words, before, round(now, 6)) == ("are not missing", 0.0, 0.9)


FOUND = parse(profile())


def counted(rows: int, began: int = 1) -> Counted:
    """Return counts of rows that are all in the first bin between edges."""
    return Counted(began, rows, 0, ((0, rows, 0, 0, 0),) * 3)


def test_a_window_has_enough_rows_and_time() -> None:
    drift = Drift(FOUND, seconds=100, rows=50)
    for rows, at in ((1000, 0), (1040, 200), (1045, 300)):
        drift.add(counted(rows), at)
        assert not drift.windows
    drift.add(counted(1050), 310)
    assert [window.rows for window in drift.windows] == [50]
    # The next window begins only with the next rows. It also has a minimum length, however many rows it contains.
    drift.add(counted(1050), 400)
    for at in (420, 519):
        drift.add(counted(9000), at)
        assert len(drift.windows) == 1
    drift.add(counted(9100), 520)
    assert [window.rows for window in drift.windows] == [8050, 50]


def test_a_version_that_starts_again_loses_no_rows_of_the_window() -> None:
    drift = Drift(FOUND, seconds=0, rows=100)
    for rows, began in ((500, 1), (560, 1), (30, 2), (40, 2)):
        drift.add(counted(rows, began), 1)
    assert [window.rows for window in drift.windows] == [100]


def test_counts_that_go_back_begin_a_new_window() -> None:
    drift = Drift(FOUND, seconds=0, rows=100)
    for rows in (500, 599, 10, 100, 110):
        drift.add(counted(rows), 1)
    assert [window.rows for window in drift.windows] == [100]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"null",
        nested(100_000).encode(),
        b'{"began": 1, "rows": 1, "flagged": 0, "counts": [[0, 1, 0, 0, 0]]}',
        b'{"began": 1, "rows": 1, "flagged": 0, "counts": [[1], [1], [1]]}',
        b'{"began": 1, "rows": 1, "flagged": 0, "counts": [5, 5, 5]}',
        *(
            json.dumps({"began": 1, "rows": rows, "flagged": 0, "counts": [[0, one, 0, 0, 0]] * 3}).encode()
            for rows, one in ((1, -1), (1, 0.5), (1, True), (1, 2**63), (-1, 1), ("1", 1), (None, 1), (1, "1"))
        ),
    ],
)
def test_a_hostile_answer_is_none(answer: bytes) -> None:
    assert parse_counts(answer, FOUND) is None


def test_impossible_counts_do_no_harm() -> None:
    drift = Drift(FOUND, seconds=0, rows=1)
    for rows in (0, 5):
        # These counts are impossible: all bins are empty although there are rows, and more rows are flagged than exist.
        drift.add(Counted(1, rows, rows * 9, ((0,) * 5,) * 3), 1)
    assert len(drift.windows) == 1
    assert 'trackbox_serving_drift_psi{feature="a"' in drift_metrics([Model("m", "1", drift)])


@pytest.fixture
def loaded(data: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], Any]:
    """Return a function that writes a profile for a version, and loads the version like the worker."""
    monkeypatch.setenv(settings.VARIABLE, str(tmp_path / "serving.json"))
    (tmp_path / "serving.json").write_text(json.dumps({"state": str(tmp_path), "log": "off"}))

    def load(text: str | None, **about: Any) -> Any:
        place = tmp_path / "models/fraud" / VERSION
        if not place.exists():
            make_model(place, "fraud", data)
        describe(place, "fraud", **about)
        if text is not None:
            (place / "model" / FILE).write_text(text)
        return worker.load_service("fraud", VERSION)

    return load


def test_a_version_is_served_with_any_profile(
    loaded: Callable[..., Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    service = loaded(None)
    assert isinstance(service.counts, Counts)
    assert len(service.counts.snapshot()["counts"]) == 30
    assert loaded(None, challenger=True).counts is None
    assert loaded(None, challenger=True).counts is None
    assert "drift" not in capsys.readouterr().err
    assert loaded(json.dumps(profile())).counts is None
    assert "drift is not measured: the profile has a column that is no number" in capsys.readouterr().err
    assert loaded("x" * (MOST_BYTES + 1)).counts is None
    assert f"drift is not measured: {FILE} has more than" in capsys.readouterr().err
    (tmp_path / "models/fraud" / VERSION / "model" / FILE).unlink()
    assert loaded(None).counts is None
    assert "drift" not in capsys.readouterr().err


def test_all_names_are_those_of_the_writer() -> None:
    from fraud.evaluation import reference_profile as written
    from fraud.models.flavours import REFERENCE_PROFILE
    from trackbox_serving.drift import profile as reading

    assert REFERENCE_PROFILE == reading.FILE
    assert (written.SCHEMA, written.MOST_BYTES, written.MOST_COLUMNS) == (
        reading.SCHEMA, reading.MOST_BYTES, reading.MOST_COLUMNS,
    )  # fmt: skip
    assert written.BINS < reading.MOST_EDGES


def test_the_writer_reads_a_profile_with_a_calibration_as_the_server_does() -> None:
    from fraud.evaluation.calibration import calibrate
    from fraud.evaluation.reference_profile import describe_columns, read_profile, reference_profile

    scores = np.linspace(0, 1, 50)
    calibration = calibrate((scores > 0.6).astype(int), scores, 0.5)
    columns = describe_columns(pd.DataFrame({"a": RNG.standard_normal(99), "b": [None, 1.0, 2.0] * 33}))
    text = reference_profile(columns, scores, 0.5, calibration)
    theirs, ours = read_profile(text.encode()), parse(json.loads(text))
    assert theirs.calibration == calibration
    assert theirs.flagged == ours.flagged == 0.5
    assert [vars(one) for one in theirs.references] == [vars(one) for one in ours.references]


def test_the_metrics_of_a_profile_are_bounded_and_unique() -> None:
    columns = [column(f"c{number}") for number in range(199)] + [column("score")]
    wide = parse(profile(columns=columns))
    drift = Drift(wide, seconds=0, rows=10)
    for rows in (0, 10, 20):
        drift.add(Counted(1, rows, 0, ((rows, 0, 0, 0, 0),) * 201), 1)
    lines = [line for line in drift_metrics([Model("m", "1", drift)]).splitlines() if not line.startswith("#")]
    assert len(lines) == len({line.rpartition(" ")[0] for line in lines}) == 5 * 201 + 5
    assert any('feature="feature.score"' in line for line in lines)
    assert isinstance(wide, Profile)


def test_a_number_that_no_float_can_hold_does_not_end_a_batch() -> None:
    assert np.isnan(numbers([10**400, 1])).tolist() == [True, True]
