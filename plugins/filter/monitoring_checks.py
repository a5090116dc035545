"""Filters of monitoring: a sentence for each setting that cannot be, and what becomes of each unit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

# The least and the most that a setting may be. Prometheus needs some 200 MB for the last hours, whatever it may keep.
BOUNDS = {
    "monitoring_interval_seconds": (5, 60),
    "monitoring_repeat_hours": (1, 168),
    "monitoring_retention_days": (1, 3650),
    "monitoring_retention_mb": (256, 1_000_000),
}
STATE = PurePosixPath("/var/lib/trackbox-monitoring")


def monitoring_problems(settings: Mapping[str, Any], mounts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each setting that cannot be, and one if the metrics may take half of their disk.

    settings: the role's variables. mounts: the fact `mounts`, which may lack sizes.
    """
    problems = [
        f"{name} is {settings[name]}: it must be from {least} to {most}."
        for name, (least, most) in BOUNDS.items()
        if not least <= int(settings[name]) <= most
    ]
    # The mount point under which the metrics lie is the longest of those above them.
    sizes = {str(mount["mount"]): int(mount.get("size_total") or 0) for mount in mounts}
    above = max((path for path in sizes if STATE.is_relative_to(path)), key=len, default="")
    size_mb, given = sizes.get(above, 0) // 1_000_000, int(settings["monitoring_retention_mb"])
    if not problems and size_mb and given > size_mb // 2:
        problems.append(
            f"monitoring_retention_mb is {given}, more than half of the {size_mb} MB of the disk at {above}: lower it."
        )
    return problems


def monitoring_address_problems(addresses: Mapping[str, object]) -> list[str]:
    """Return a sentence for each address that the network could reach. addresses: by variable."""
    return [
        f"{name} is {address}: metrics are for the machine itself, so give it an address such as 127.0.0.1:9490."
        for name, address in addresses.items()
        if not str(address).startswith(("127.", "localhost:"))
    ]


def unit_states(
    units: Iterable[str], units_changed: Iterable[str], changed: Iterable[str], readers: Mapping[str, Mapping[str, str]]
) -> list[dict[str, str]]:
    """Return name and state of each unit, for the module `units`.

    units_changed, changed: paths of unit files and of settings that were written. readers: by a settings file's name,
    the units that read it, with what makes them read it again.
    """
    states: dict[str, str] = {}
    for path in changed:
        states |= readers.get(PurePosixPath(path).name, {})
    states |= {PurePosixPath(path).name: "restarted" for path in units_changed}
    return [{"name": unit, "state": states.get(unit, "started")} for unit in units]


class FilterModule:
    """The filters of this file, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "monitoring_address_problems": monitoring_address_problems,
            "monitoring_problems": monitoring_problems,
            "unit_states": unit_states,
        }
