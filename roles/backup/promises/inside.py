"""The promises (checks of verify.yml) about backups: they are scheduled, and the last one is recent."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

from promises import Facts, Off, promise
from tools import show


def wanted(its: Facts) -> None:
    """Raise Off if backups are disabled."""
    if not its["target"]:
        raise Off("backup_target is empty")


@promise("backup")
def backup_scheduled(its: Facts) -> Iterator[str]:
    """The timers of backups and of restore tests are active."""
    wanted(its)
    for unit in its["units"]:
        found = show(unit, "ActiveState", "UnitFileState")
        if (found["ActiveState"], found["UnitFileState"]) != ("active", "enabled"):
            yield f"{unit} is {found['ActiveState']} and {found['UnitFileState'] or 'not installed'}"


@promise("backup")
def backup_young(its: Facts) -> Iterator[str]:
    """The last verified backup is recent, and no later one has failed."""
    wanted(its)
    if not Path(its["status"]).exists():
        yield "there is none: playbooks/backup.yml makes one"
        return
    last = json.loads(Path(its["status"]).read_text())
    days = (time.time() - last["last_success_unix"]) / 86400
    if not -1 / 24 <= days <= its["backup_days"]:
        yield f"it is of {last['last_success'] or 'no day yet'}"
    if last["error"]:
        yield last["error"]
