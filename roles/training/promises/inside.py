"""The promise (a check of verify.yml) about scheduled training."""

from __future__ import annotations

from collections.abc import Iterator

from promises import Facts, Off, promise
from tools import show


@promise("training")
def training_scheduled(its: Facts) -> Iterator[str]:
    """The training's timer is active."""
    if not its["scheduled"]:
        raise Off("training_schedule is empty")
    found = show(its["unit"], "ActiveState", "UnitFileState")
    if (found["ActiveState"], found["UnitFileState"]) != ("active", "enabled"):
        yield f"{its['unit']} is {found['ActiveState']} and {found['UnitFileState'] or 'not installed'}"
