"""Filters about the training package: checks of the settings, and whether it has to be built or installed."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

COMMAND = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*")


def training_problems(settings: Mapping[str, Any]) -> list[str]:
    """Return an error message for each setting with which the training package could not be installed.

    settings: the role's variables.
    """
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


def monitor_runs(models: Sequence[Mapping[str, Any]], arguments: Sequence[str]) -> list[list[str]]:
    """Return the arguments of a run of the report for each entry of `serving_models`."""
    return [[*arguments, "--model", str(model["name"])] for model in models]


def folder_state(folder: str) -> str:
    """Return a checksum over path, size, mode and modification time of each file in a folder, links followed.

    Hidden folders, Python's caches, build outputs and environments are left out, because no wheel contains them.
    """
    found = hashlib.sha256()
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name != "__pycache__"
            and not name.endswith(".egg-info")
            and not Path(parent, name, "pyvenv.cfg").exists()
            and not (parent == folder and name in ("build", "dist"))
        )
        for path in (Path(parent, name) for name in sorted(files)):
            # The lock file of an editor may be a link to nothing.
            about = path.stat() if path.exists() else path.lstat()
            found.update(f"{path} {about.st_size} {about.st_mode} {about.st_mtime_ns}\n".encode())
    return found.hexdigest()[:12]


def file_sha1(path: str) -> str:
    """Return the file's SHA-1, which Ansible's modules return as `checksum`."""
    return hashlib.sha1(Path(path).read_bytes(), usedforsecurity=False).hexdigest()


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return a mapping from the name of each filter to its function."""
        return {
            "file_sha1": file_sha1,
            "folder_state": folder_state,
            "monitor_runs": monitor_runs,
            "training_problems": training_problems,
        }
