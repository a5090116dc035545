"""Filters that choose services: those on a machine, and those whose role contains a certain file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

ROLES = Path(__file__).parents[2] / "roles"


def services_in(services: Mapping[str, str], groups: Iterable[str]) -> list[str]:
    """Return the names of the services whose inventory group is one of `groups`, in the order of `services`.

    services: the inventory group of each service, by the service's name.
    """
    known = set(groups)
    return [name for name, group in services.items() if group in known]


def offering(services: Iterable[str], path: str) -> list[str]:
    """Return those services whose role contains this file, such as tasks/upgrade.yml or templates/door.j2."""
    return [name for name in services if (ROLES / name / path).is_file()]


def role_files(services: Iterable[str], path: str) -> list[str]:
    """Return the absolute path of the file `path` in each role that contains this file. path: relative to the role."""
    return [str(ROLES / name / path) for name in offering(services, path)]


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return a mapping from the name of each filter to its function."""
        return {
            "offering": offering,
            "role_files": role_files,
            "services_in": services_in,
        }
