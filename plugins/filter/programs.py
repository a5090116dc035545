"""Filters about Python on the machines: this repository's own packages, and the locks of Python environments."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROLES = Path(__file__).parents[2] / "roles"
# The Python package that all of Trackbox's programs on a machine share.
BASE = "machine/files/trackbox_host"


def python_modules(package: str, role: str) -> dict[str, str]:
    """Return the sources of all modules of a role's Python package and of the shared package, by the modules' paths."""
    found: dict[str, str] = {}
    for folder in (ROLES / role / "files" / package, ROLES / BASE):
        found |= {str(path.relative_to(folder.parent)): path.read_text() for path in sorted(folder.rglob("*.py"))}
    return found


def program_id(package: str, role: str) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of the package's modules."""
    return hashlib.sha256(json.dumps(python_modules(package, role)).encode()).hexdigest()[:12]


def locked(text: str) -> Mapping[str, Any]:
    """Return what a lock of requirements contains, under the keys `lock`, `needs` and `mark`.

    lock: name and version of each package; a package can occur twice, for different versions of Python. needs: the
    packages without an environment marker, which every system needs. mark: the name of the file that
    tasks/environment.yml creates in an environment that it has installed from this lock.
    """
    lines = re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==([^\s;\\]+)[ \t]*(;?)", text, re.MULTILINE)
    pairs = [(re.sub(r"[-_.]+", "-", name).lower(), version, marker) for name, version, marker in lines]
    return {
        "lock": [[name, version] for name, version, _marker in pairs],
        "needs": [name for name, _version, marker in pairs if not marker],
        "mark": f"lock-{hashlib.sha256(text.encode()).hexdigest()[:12]}",
    }


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return a mapping from the name of each filter to its function."""
        return {"locked": locked, "program_id": program_id, "python_modules": python_modules}
