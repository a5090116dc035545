"""Filters that parse the output of tasks/look.yml: a machine's packages, users and files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def packages_since(before: Sequence[str], now: Sequence[str]) -> dict[str, list[str]]:
    """Return new packages as `came`, and a line `NAME OLD -> NEW` for each package with another version as `changed`.

    before, now: output of tasks/look.yml, as lines. Only the lines `installed:NAME:VERSION` are used.
    """

    def versions(lines: Sequence[str]) -> dict[str, str]:
        parts = [line.split(":", 2) for line in lines if line.startswith("installed:")]
        return {name: version for _state, name, version in parts}

    old, new = versions(before), versions(now)
    changed = [f"{name} {old[name]} -> {new[name]}" for name in sorted(new) if old.get(name, new[name]) != new[name]]
    return {"came": sorted(new.keys() - old.keys()), "changed": changed}


def seen(text: str) -> dict[str, list[str]]:
    """Return the lines that tasks/look.yml printed, as a list for each kind, without the versions of packages."""
    kinds = ["installed", "user", "account", "group", "path", "own", "database", "listens", "site"]
    found: dict[str, list[str]] = {kind: [] for kind in kinds}
    for kind, _colon, rest in (line.partition(":") for line in text.splitlines()):
        if kind in found:
            found[kind].append(rest.partition(":")[0] if kind == "installed" else rest)
    return found


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return a mapping from the name of each filter to its function."""
        return {
            "packages_since": packages_since,
            "seen": seen,
        }
