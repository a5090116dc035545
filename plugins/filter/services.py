"""Filters on the list of services: those on a machine, and those whose role contains a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

ROLES = Path(__file__).parents[2] / "roles"


def services_in(services: Mapping[str, str], groups: Iterable[str]) -> list[str]:
    """Return the names of the services whose group is one of these, in the order of the list.

    services: the group of each service, by name.
    """
    known = set(groups)
    return [name for name, group in services.items() if group in known]


def offering(services: Iterable[str], path: str) -> list[str]:
    """Return those services whose role has this file, such as tasks/upgrade.yml or templates/door.j2."""
    return [name for name in services if (ROLES / name / path).is_file()]


def role_files(services: Iterable[str], path: str) -> list[str]:
    """Return the absolute path of this file in the role of each service whose role contains it."""
    return [str(ROLES / name / path) for name in offering(services, path)]


class FilterModule:
    """The filters of this file, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "offering": offering,
            "role_files": role_files,
            "services_in": services_in,
        }
