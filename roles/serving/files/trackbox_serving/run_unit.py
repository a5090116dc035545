"""Run the worker of a version as its unit does: run_unit.py MODEL/VERSION.

systemd passes the name on as the folders have it. A worker that does not start leaves the reason in the folder of its
log: the follower, which may not read the journal, tells the registry.
"""

from __future__ import annotations

import contextlib
import runpy
import sys
from pathlib import Path

from trackbox_serving.names import Unit

# The files in the folder of a version's log that say why it ended: in the words of its process, and in systemd's.
FAILED, ENDED = "failed", "ended"


def leave(folder: Path, reason: str) -> None:
    """Leave a reason in the folder of the log."""
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
