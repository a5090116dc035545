"""Limit what a version may write to its log folder, the only folder on the disk that it may write to."""

from __future__ import annotations

import os
import stat
from pathlib import Path

# The maximum number of files. A worker closes one file a minute, and the oldest are deleted beyond serving_log_disk_mb.
MOST_FILES = 100_000
# MB for files that are being written. They are allowed in addition to twice serving_log_disk_mb, because that limit is
# enforced only every few seconds.
FURTHER_MB = 64


def excess(folder: Path, log_disk_mb: int) -> str:
    """Return why a log folder breaks its limits (a subfolder, too many files or MB), or an empty string."""
    size = count = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    return "It made a folder where its log is."
                size, count = size + status.st_blocks * 512, count + 1
                if count > MOST_FILES:
                    return f"It made more than {MOST_FILES:,} files where its log is."
    except FileNotFoundError:
        return ""
    most = 2 * log_disk_mb + FURTHER_MB
    return f"It wrote {size >> 20:,} MB where its log is, and {most:,} MB are the most." if size >> 20 > most else ""
