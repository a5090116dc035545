"""A restore is refused if there is no backup, or if it would replace data without a confirmation."""

import json
from typing import Any

import pytest
from backup import restore_problem

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
