"""Filters for the settings of served models."""

from pathlib import Path
from typing import Any

import pytest
from serving_checks import (
    LEAST,
    OLDEST_PYTHON,
    served_models,
    served_models_problems,
    serving_pending,
    serving_problems,
    serving_python_problems,
)


def test_a_model_has_the_alias_champion_and_no_code_if_it_is_not_said() -> None:
    assert served_models([{"name": "fraud"}]) == [{"name": "fraud", "alias": "champion", "allow_code": False}]
    assert served_models([{"name": "x", "alias": "live", "allow_code": "yes"}]) == [
        {"name": "x", "alias": "live", "allow_code": True}
    ]


@pytest.mark.parametrize("name", ["fraud", "a model", "Ünïcode", "x.y-z_1", "100%"])
def test_a_name_that_mlflow_takes_is_served(name: str) -> None:
    assert served_models_problems([{"name": name}]) == []


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"name": "a/b"}, "cannot be served"),
        ({"name": "$host"}, "cannot be served"),
        ({"name": ".."}, "cannot be served"),
        ({"name": "-x"}, "cannot be served"),
        ({"name": "x;y"}, "cannot be served"),
        ({"name": "x\ny"}, "cannot be served"),
        ({"name": ""}, "cannot be served"),
        ({"name": "v2"}, "Open Inference Protocol"),
        ({"name": "é" * 21}, "too long"),
        ({"name": "x", "alias": "a b"}, "cannot be an alias"),
    ],
)
def test_a_model_that_cannot_be_served_is_refused(model: dict[str, Any], said: str) -> None:
    [problem] = served_models_problems([model])
    assert said in problem


def test_a_model_that_is_there_twice_is_refused() -> None:
    [problem] = served_models_problems([{"name": "x"}, {"name": "x", "alias": "other"}])
    assert "x is there 2 times" in problem


@pytest.mark.parametrize("name", LEAST)
def test_a_number_that_is_too_small_is_refused(name: str) -> None:
    settings = {"serving_models": [{"name": "fraud"}], **LEAST}
    assert serving_problems(settings) == []
    assert serving_problems({**settings, name: str(LEAST[name] - 1)}) == [
        f"{name} is {LEAST[name] - 1}: it must be {LEAST[name]} or more."
    ]


@pytest.mark.parametrize(("minor", "served"), [(10, False), (11, True), (13, True)])
def test_a_python_that_is_too_old_for_the_lock_is_refused(minor: int, served: bool) -> None:
    problems = serving_python_problems({"version": {"major": 3, "minor": minor}}, "vm")
    assert bool(problems) != served
    assert not problems or "vm has Python 3.10, and the packages that serve models need 3.11" in problems[0]


def test_the_oldest_python_is_that_of_the_lock() -> None:
    command = (Path(__file__).parents[2] / "roles/serving/files/requirements.in").read_text()
    assert f"--python-version {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} " in command


LOCK = [["scikit-learn", "1.9.1"], ["numpy", "2.4.6"], ["xgboost-cpu", "3.2.0"], ["xgboost-cpu", "3.4.1"]]
SAME = {"environment": "environment-aa", "program": "program-11"}


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        ({}, []),
        (SAME, []),
        (SAME | {"program": "program-22"}, ["program of serving 22 -> 11"]),
        (SAME | {"environment": "environment-bb"}, ["packages of serving bb -> aa"]),
        (
            {
                "environment": "environment-bb",
                "program": "program-22",
                "packages": "numpy-2.4.6.dist-info scikit_learn-1.8.0.dist-info old_1-1.dist-info",
            },
            [
                "packages of serving bb -> aa "
                "(old-1 1 -> none, scikit-learn 1.8.0 -> 1.9.1, xgboost-cpu none -> 3.2.0 or 3.4.1)",
                "program of serving 22 -> 11",
            ],
        ),
        (SAME | {"interrupted": "yes"}, ["program of serving 11, whose upgrade was interrupted"]),
    ],
)
def test_packages_or_a_program_that_differ_are_pending(found: dict[str, str], lines: list[str]) -> None:
    assert serving_pending(found, SAME, LOCK) == lines


def test_of_many_packages_the_first_six_are_named() -> None:
    packages = " ".join(f"package{number}-1.dist-info" for number in range(9))
    lock = [[f"package{number}", "2"] for number in range(9)]
    [line] = serving_pending(SAME | {"environment": "environment-bb", "packages": packages}, SAME, lock)
    assert line.count("1 -> 2") == 6
    assert line.endswith(", 3 more)")
