"""playbooks/upgrade.yml refuses a wrong setting or a host without Trackbox, with a single error message."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_run import ROOT, inventory_of, play


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (
            "upgrade_bakcup=false",
            "upgrade.yml has no variable upgrade_bakcup: it has upgrade_backup and upgrade_reserve_mb.",
        ),
        ("upgrade_backup=maybe", "upgrade_backup is maybe: say true or false."),
        ("upgrade_reserve_mb=much", "upgrade_reserve_mb is much: give it a number of MB."),
        (
            "upgrade_backup=false",
            "vm has no installation of Trackbox, so there is nothing to upgrade: run site.yml.",
        ),
    ],
)
def test_impossible_settings_are_refused(tmp_path: Path, option: str, sentence: str) -> None:
    done = play(ROOT / "playbooks/upgrade.yml", inventory_of(tmp_path, {"vm": {}}), "-e", option)
    assert done.refused("vm") == sentence
    assert not (tmp_path / ".secrets").exists()
