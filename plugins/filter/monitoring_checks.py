"""Filters for monitoring: checks of the settings, and the state that each unit needs after a change."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

# The minimum and maximum of each setting. For the metrics of the last hours, Prometheus needs about 200 MB, whatever
# the limits of its retention are.
BOUNDS = {
    "monitoring_interval_seconds": (5, 60),
    "monitoring_proof_days": (1, 1000),
    "monitoring_repeat_hours": (1, 168),
    "monitoring_retention_days": (1, 3650),
    "monitoring_retention_mb": (256, 1_000_000),
}
# The most days between two times of a schedule of systemd.time(7), for its names.
NAMED_DAYS = {"weekly": 7, "monthly": 31, "quarterly": 92, "semiannually": 184, "yearly": 366, "annually": 366}
# A schedule with a weekday, or with a day of a month, or both. A year has 4 digits, or is *.
CALENDAR = re.compile(
    r"(?P<week>(mon|tue|wed|thu|fri|sat|sun)\S*)?\s*(((\d{4}|\*)-)?(?P<month>[\d*,./]+)-(?P<day>[\d*,./]+))?(\s|$)",
    re.IGNORECASE,
)
STATE = PurePosixPath("/var/lib/trackbox-monitoring")


def monitoring_problems(settings: Mapping[str, Any], mounts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return an error message for each setting out of its range, and one if metrics may fill over half of the disk.

    settings: the role's variables. mounts: the fact `mounts`, which may lack sizes.
    """
    problems = [
        f"{name} is {settings[name]}: it must be from {least} to {most}."
        for name, (least, most) in BOUNDS.items()
        if not least <= int(settings[name]) <= most
    ]
    # The metrics are on the disk with the longest mount point that contains their folder.
    sizes = {str(mount["mount"]): int(mount.get("size_total") or 0) for mount in mounts}
    above = max((path for path in sizes if STATE.is_relative_to(path)), key=len, default="")
    size_mb, given = sizes.get(above, 0) // 1_000_000, int(settings["monitoring_retention_mb"])
    if not problems and size_mb and given > size_mb // 2:
        problems.append(
            f"monitoring_retention_mb is {given}, more than half of the {size_mb} MB of the disk at {above}: lower it."
        )
    return problems


def days_between(schedule: str) -> int:
    """Return the most days between two times of a schedule of systemd.time(7), or 0 if this function does not know."""
    if schedule in NAMED_DAYS:
        return NAMED_DAYS[schedule]
    found = CALENDAR.match(schedule)
    month, day = (found["month"] or "*", found["day"] or "*") if found else ("*", "*")
    if found and (found["week"] or "").isalpha() and month == day == "*":
        return 7
    # A list, a range or a repetition, such as 1,15 or 1..7 or 1/3, has more times.
    if not found or found["week"] or not all(part == "*" or part.isdigit() for part in (month, day)):
        return 0
    return 366 if month != "*" else 31 if day != "*" else 0


def proof_days_problems(days: int, schedule: str) -> list[str]:
    """Return an error message if restore tests are too rare for monitoring_proof_days.

    schedule: the variable backup_proof_schedule, or empty if there are no restore tests.
    """
    between = days_between(schedule.strip())
    if int(days) > between:
        return []
    return [
        f"monitoring_proof_days is {days}, and backup_proof_schedule ({schedule}) leaves {between} days between two "
        "restore tests, so the alert BackupOld would be raised between them: set monitoring_proof_days to "
        f"{3 * between}."
    ]


def monitoring_address_problems(addresses: Mapping[str, object]) -> list[str]:
    """Return an error message for each address that is not on loopback.

    addresses: the addresses, by the names of the variables that set them.
    """
    return [
        f"{name} is {address}: metrics are for the machine itself, so give it an address such as 127.0.0.1:9490."
        for name, address in addresses.items()
        if not str(address).startswith(("127.", "localhost:"))
    ]


def unit_states(
    units: Iterable[str], units_changed: Iterable[str], changed: Iterable[str], readers: Mapping[str, Mapping[str, str]]
) -> list[dict[str, str]]:
    """Return name and state of each unit, for the module `units`.

    units_changed, changed: paths of the changed unit files, and of the changed settings files. readers: the units that
    read each settings file, by the file's name. Each unit has the state that makes it read the file again, `restarted`
    or `reloaded`.
    """
    states: dict[str, str] = {}
    for path in changed:
        states |= readers.get(PurePosixPath(path).name, {})
    states |= {PurePosixPath(path).name: "restarted" for path in units_changed}
    return [{"name": unit, "state": states.get(unit, "started")} for unit in units]


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return a mapping from the name of each filter to its function."""
        return {
            "monitoring_address_problems": monitoring_address_problems,
            "monitoring_problems": monitoring_problems,
            "proof_days_problems": proof_days_problems,
            "unit_states": unit_states,
        }
