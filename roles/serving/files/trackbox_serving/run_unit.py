"""Run the worker of a version from its systemd unit: run_unit.py MODEL/VERSION.

systemd passes MODEL in its quoted form, as in folder names. A worker that fails to start writes the reason into its log
folder, because the follower has no access to the journal. The follower copies the reason to the registry.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from trackbox_serving.names import Unit

if TYPE_CHECKING:
    from trackbox_serving.version import Version

# Files in a version's log folder with the reason why it ended. Its process writes the first, systemd the second.
FAILED, ENDED = "failed", "ended"


def leave(folder: Path, reason: str) -> None:
    """Write the reason why the worker failed into the log folder."""
    with contextlib.suppress(OSError):
        (folder / FAILED).write_text(f"{reason[:1000]}\n")


def enter_environment(version: Version) -> None:
    """If a version has packages of its own, run this program again with the Python of their environment.

    If the environment does not exist yet, wait for it. The follower requests it.
    """
    from trackbox_serving.environments.place import environment

    root = version.settings.environments
    try:
        needs = version.read_about().needs
    except (OSError, ValueError, TypeError):
        # Ignore the error here, because the worker reports it.
        return
    if not needs or Path(sys.prefix).parent == root:
        return
    while (folder := environment(root, needs, Path(sys.prefix).name)) is None:
        time.sleep(0.5)
    python = str(folder / "bin/python")
    os.execv(python, [python, *sys.orig_argv[1:]])


def main() -> None:
    """Run the worker."""
    from trackbox_serving.settings import load
    from trackbox_serving.version import Version

    unit = Unit.parse(sys.argv[1])
    version = Version(load(), unit.name, unit.version)
    enter_environment(version)
    folder = version.log
    sys.argv = ["worker", unit.name, unit.version]
    try:
        runpy.run_module("trackbox_serving.worker", run_name="__main__", alter_sys=True)
    except SystemExit as error:
        if isinstance(error.code, str):
            leave(folder, error.code.removeprefix(f"{unit.name} version {unit.version}: "))
        raise
    except BaseException as error:
        leave(folder, f"{type(error).__name__}: {error}")
        raise


if __name__ == "__main__":
    main()
