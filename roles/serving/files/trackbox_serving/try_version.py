"""Load a version, let it score its input example, and end: try_version.py MODEL/VERSION.

switch.py runs it with new packages or a new program, in a unit like the version's own, while the version serves.
"""

from __future__ import annotations

import sys

from trackbox_serving.names import Unit
from trackbox_serving.run_unit import enter_environment
from trackbox_serving.settings import load
from trackbox_serving.version import Version
from trackbox_serving.worker import load_or_exit, remove_metrics


def main() -> None:
    """Load the version. Exit with a message if it cannot be served."""
    unit = Unit.parse(sys.argv[1])
    enter_environment(Version(load(), unit.name, unit.version))
    load_or_exit(unit.name, unit.version, writes_log=False)
    remove_metrics()


if __name__ == "__main__":
    main()
