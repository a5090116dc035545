"""The free space that must stay on a disk, as the variable `trackbox_disk_reserve` sets it."""

from __future__ import annotations

import shutil
from pathlib import Path


def reserved_bytes(reserve: str, folder: Path) -> int:
    """Return the bytes that must stay free on the folder's disk. reserve: `5%` of the disk, or a number of bytes."""
    if not reserve.endswith("%"):
        return int(reserve)
    return int(shutil.disk_usage(folder).total * float(reserve[:-1]) / 100)
