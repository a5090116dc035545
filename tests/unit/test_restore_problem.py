"""A restore needs a backup and a confirmation. What a restore test left is named if it cannot be removed."""

import json
from typing import Any

import pytest
from backup import restore_problem, unswept

FOUND = {"run": "20261124T023000Z", "host": "old", "lacks": "", "holds_data": True}


def looked(**changed: Any) -> dict[str, Any]:
    """Return the result of the command that describes a backup, with some values changed."""
    found = {**FOUND, **{name: value for name, value in changed.items() if name in FOUND}}
    result = {"rc": 0, "stdout": json.dumps(found), "stderr_lines": []}
    return result | {name: value for name, value in changed.items() if name in result}


def test_an_empty_machine_and_a_confirmed_one_are_restored() -> None:
    assert restore_problem(looked(holds_data=False), "vm", "", False) == ""
    assert restore_problem(looked(), "vm", "vm", False) == ""
    assert restore_problem(looked(), "vm", "", True) == ""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"stdout": "skipped, since /x does not exist"},
            "vm knows of no backups: run site.yml with this backup_target ",
        ),
        ({"rc": 1, "stdout": "", "stderr_lines": ["a", "There is none."]}, "There is none."),
        ({"rc": 1, "stdout": ""}, "Reading the backup failed without an error message."),
        ({"lacks": "lacks the database."}, "The backup 20261124T023000Z lacks the database."),
        (
            {},
            "This replaces the runs, models and objects on vm by the backup 20261124T023000Z of old: confirm ",
        ),
    ],
)
def test_anything_else_is_refused(changed: dict[str, Any], said: str) -> None:
    assert restore_problem(looked(**changed), "vm", "old", False).startswith(said)


@pytest.mark.parametrize("swept", [{"skipped": True}, {"rc": 0, "stdout": "skipped"}, {"rc": 0, "stderr_lines": ["x"]}])
def test_nothing_stays_of_a_restore_test_that_was_swept(swept: dict[str, Any]) -> None:
    assert unswept(swept) == []


@pytest.mark.parametrize(
    ("swept", "reason"),
    [
        (
            {"rc": 1, "stderr_lines": ["Traceback:", "ERROR 2002 (HY000): Can't connect."]},
            "ERROR 2002 (HY000): Can't connect. ",
        ),
        ({"rc": 2, "stderr_lines": [], "msg": "No such file"}, "No such file. "),
        ({"rc": 1, "stderr_lines": ["It failed", ""], "msg": ""}, "It failed. "),
        ({"rc": 1}, "no error message. "),
    ],
)
def test_what_stays_of_a_restore_test_is_named_with_the_reason(swept: dict[str, Any], reason: str) -> None:
    [said] = unswept(swept)
    assert said.startswith("what a restore test left, the schemas trackbox_proof_N and the bucket trackbox-proof, ")
    assert f"could not be removed: {reason}Drop them" in said
