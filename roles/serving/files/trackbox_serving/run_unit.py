"""Run the worker of a version from its systemd unit: run_unit.py MODEL/VERSION.

systemd passes MODEL in its quoted form, as in folder names. A worker that fails to start writes the reason into its log
folder, because the follower has no access to the journal. The follower copies the reason to the registry.
"""

from __future__ import annotations

import contextlib
import runpy
import sys
from pathlib import Path

from trackbox_serving.names import Unit

# Files in a version's log folder with the reason why it ended. Its process writes the first, systemd the second.
FAILED, ENDED = "failed", "ended"


def leave(folder: Path, reason: str) -> None:
    """Write the reason why the worker failed into the log folder."""
    with contextlib.suppress(OSError):
        (folder / FAILED).write_text(f"{reason[:1000]}\n")


def main() -> None:
    """Run the worker."""
    from trackbox_serving.settings import load
    from trackbox_serving.version import Version

    unit = Unit.parse(sys.argv[1])
    folder = Version(load(), unit.name, unit.version).log
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
