"""backup.yml, restore.yml and uninstall.yml refuse invalid settings and a missing target with one error message."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_run import ROOT, inventory_of, play


@pytest.mark.parametrize(
    ("playbook", "options", "sentence"),
    [
        (
            "backup",
            [],
            "backup_target is empty, so a backup has no place: name a folder, sftp:… or s3:…, and run site.yml.",
        ),
        (
            "backup",
            ["backup_target=/mnt/backup"],
            "vm makes no backups yet: run site.yml with this backup_target first.",
        ),
        (
            "restore",
            ["restore_confrim=vm"],
            "restore.yml has no variable restore_confrim: it has restore_confirm and restore_backup.",
        ),
        (
            "restore",
            ["restore_backup=yesterday"],
            "restore_backup is yesterday: say latest, or a time such as 20261124T023000Z.",
        ),
        (
            "uninstall",
            [],
            "This removes Trackbox from vm; its data stays: confirm it by -e uninstall_confirm=vm, or see "
            "what would go by --check.",
        ),
        (
            "uninstall",
            ["uninstall_data=true", "uninstall_confirm=others"],
            "This removes Trackbox from vm, with its database and all objects: confirm it by "
            "-e uninstall_confirm=vm, or see what would go by --check.",
        ),
        ("uninstall", ["uninstall_data=perhaps"], "uninstall_data is perhaps: say true or false."),
        (
            "uninstall",
            ["uninstal_data=true", "uninstall_date=true"],
            "uninstall.yml has no variable uninstall_date: it has uninstall_confirm and uninstall_data.",
        ),
    ],
)
def test_impossible_settings_are_refused(tmp_path: Path, playbook: str, options: list[str], sentence: str) -> None:
    given = [word for option in options for word in ("-e", option)]
    done = play(ROOT / f"playbooks/{playbook}.yml", inventory_of(tmp_path, {"vm": {}}), *given)
    assert done.refused("vm") == sentence
    assert not (tmp_path / ".secrets").exists()
