"""The filter `locked`: the packages that an environment has to hold, by its requirements lock."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any


def locked(text: str) -> Mapping[str, Any]:
    """Return what a requirements lock says.

    lock: name and version of each package, some of them twice: for one Python and for another. needs: the names that
    every Python and system wants. mark: the file that tasks/environment.yml leaves in an environment made from it.
    """
    lines = re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==([^\s;\\]+)[ \t]*(;?)", text, re.MULTILINE)
    pairs = [(re.sub(r"[-_.]+", "-", name).lower(), version, marker) for name, version, marker in lines]
    return {
        "lock": [[name, version] for name, version, _marker in pairs],
        "needs": [name for name, _version, marker in pairs if not marker],
        "mark": f"lock-{hashlib.sha256(text.encode()).hexdigest()[:12]}",
    }


class FilterModule:
    """The filters of this file, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"locked": locked}
