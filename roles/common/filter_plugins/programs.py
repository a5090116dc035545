"""The filter `packages`, which reads Python packages of ours for tasks/program.yml."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def packages(folders: Sequence[str]) -> dict[str, str]:
    """Return the text of every module in these packages, by its path from the folder that the package is in."""
    found: dict[str, str] = {}
    for folder in map(Path, folders):
        found |= {str(path.relative_to(folder.parent)): path.read_text() for path in sorted(folder.rglob("*.py"))}
    return found


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"packages": packages}
