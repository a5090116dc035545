"""Filters about the Python packages for machines: their modules, and a name that changes with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROLES = Path(__file__).parents[2] / "roles"
# The package that all programs share.
BASE = "machine/files/trackbox_host"


def python_modules(package: str, role: str) -> dict[str, str]:
    """Return the text of each module of a role's package and of the shared one, by its path from their folder."""
    found: dict[str, str] = {}
    for folder in (ROLES / role / "files" / package, ROLES / BASE):
        found |= {str(path.relative_to(folder.parent)): path.read_text() for path in sorted(folder.rglob("*.py"))}
    return found


def program_id(package: str, role: str) -> str:
    """Return 12 hexadecimal digits that change with any module of the package."""
    return hashlib.sha256(json.dumps(python_modules(package, role)).encode()).hexdigest()[:12]


class FilterModule:
    """The filters of this file, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"program_id": program_id, "python_modules": python_modules}
