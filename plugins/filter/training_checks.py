"""The filter `training_problems`: what is wrong with the training package's settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

COMMAND = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*")


def training_problems(settings: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each setting with which the package cannot be installed. settings: the role's variables."""
    package, command = Path(settings["training_package"]), settings["training_command"]
    problems = []
    if not package.is_file() and not (package / "pyproject.toml").is_file():
        problems.append(
            f"training_package is {settings['training_package']}: it must be a wheel, or a folder with a "
            "pyproject.toml, on the controller."
        )
    if not COMMAND.fullmatch(command):
        problems.append(
            f"training_command is {command}: it must be a name of letters, digits and . _ -, as the package installs "
            "it."
        )
    return problems


class FilterModule:
    """The filters of this file, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"training_problems": training_problems}
