"""After a restore, `settled` waits for the follower, and prints which versions are served, and why others are not."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from trackbox_serving.follower import settled
from trackbox_serving.follower.__main__ import Follower
from trackbox_serving.follower.status import ModelStatus, Refusal, Served, Status

LIVE: dict[str, Any] = {"wanted": "3", "live": Served("3")}


def asked(folder: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, **values: Any) -> tuple[int, float]:
    """Write a model's status; run the program with a timeout in seconds. Return its exit code and its duration."""
    status = Status(folder / "status.json", {"fraud": ModelStatus("fraud", "champion", **values)})
    status.change(lambda: None)
    monkeypatch.setattr(sys, "argv", ["settled", str(folder), str(seconds)])
    start = time.monotonic()
    return settled.main(), time.monotonic() - start


@pytest.mark.parametrize(
    ("values", "code", "words"),
    [
        (LIVE, 0, "fraud@champion (version 3) is served"),
        # The alias names no version, so there is nothing to wait for.
        ({"problem": "The registry has no version of fraud with the alias champion."}, 0, ""),
        (
            {**LIVE, "wanted": "4", "refused": Refusal("4", "it has NaN", "")},
            1,
            "fraud: version 4 was refused: it has NaN",
        ),
    ],
)
def test_it_ends_at_once_where_the_follower_has_decided(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    values: dict[str, Any],
    code: int,
    words: str,
) -> None:
    found, took = asked(tmp_path, monkeypatch, 20, **values)
    assert (found, took < 1) == (code, True)
    said = capsys.readouterr()
    assert words in said.out + said.err


@pytest.mark.parametrize(
    "values",
    [
        {**LIVE, "wanted": "4"},
        {**LIVE, "candidate": "Version 4 is starting."},
        {**LIVE, "candidate": "The packages of version 3 are prepared.", "preparing": "3"},
        {**LIVE, "problem": "MLflow does not answer."},
    ],
)
def test_it_waits_where_the_follower_has_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]
) -> None:
    assert asked(tmp_path, monkeypatch, 1.5, **values)[1] > 1.5


def test_a_version_whose_packages_are_missing_is_not_served_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    preparing = {"candidate": "The packages of version 3 are prepared.", "preparing": "3"}
    assert asked(tmp_path, monkeypatch, 0, **LIVE, **preparing)[0] == 1
    assert "version 3 is not served yet. The packages of version 3 are prepared." in capsys.readouterr().err


def test_a_follower_that_starts_takes_the_status_of_before_for_undecided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = Status(tmp_path / "status.json", {"fraud": ModelStatus("fraud", "champion", **LIVE)})

    class Model:
        mine = status.models["fraud"]

    follower = Follower.__new__(Follower)
    follower.models, follower.status = [Model()], status  # type: ignore[list-item]
    status.change(follower.begin)
    assert Status.read(tmp_path / "status.json").models["fraud"].candidate == "The registry is asked."
