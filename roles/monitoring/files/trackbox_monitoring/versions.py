"""A metric with the active version of each service whose folder has a link `current`."""

from __future__ import annotations

from pathlib import Path

from trackbox_monitoring.exposition import Family


def version_metrics(folder: Path) -> list[Family]:
    """Return a metric with the version of each service in the folder, without the hash after the last hyphen."""
    info = Family("trackbox_version_info", "gauge", "1, by service and version")
    for link in sorted(folder.glob("*/current")):
        if link.is_symlink():
            version = link.readlink().name.rpartition("-")[0] or link.readlink().name
            info.add(1, service=link.parent.name, version=version)
    return [info]
