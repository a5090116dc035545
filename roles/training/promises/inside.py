"""The promise (a check of verify.yml) about scheduled training and the scheduled report."""

from __future__ import annotations

from collections.abc import Iterator

from promises import Facts, Off, promise
from tools import show


@promise("training")
def training_scheduled(its: Facts) -> Iterator[str]:
    """The timers of the training and of the report on served models are active."""
    if not its["timers"]:
        raise Off("training_schedule and training_monitor_schedule are empty")
    for timer in its["timers"]:
        found = show(timer, "ActiveState", "UnitFileState")
        if (found["ActiveState"], found["UnitFileState"]) != ("active", "enabled"):
            yield f"{timer} is {found['ActiveState']} and {found['UnitFileState'] or 'not installed'}"
