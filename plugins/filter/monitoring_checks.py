"""Filters for monitoring: checks of the settings, and the state that each unit needs after a change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

# The minimum and maximum of each setting. For the metrics of the last hours, Prometheus needs about 200 MB, whatever
# the limits of its retention are.
BOUNDS = {
    "monitoring_interval_seconds": (5, 60),
    "monitoring_repeat_hours": (1, 168),
    "monitoring_retention_days": (1, 3650),
    "monitoring_retention_mb": (256, 1_000_000),
}
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
            "unit_states": unit_states,
        }
