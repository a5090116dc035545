"""What a version may leave in the folder of its log, the one folder on the disk that it may write to."""

from __future__ import annotations

import os
import stat
from pathlib import Path

# Files. A worker closes one a minute, and the oldest go when they are larger than serving_log_disk_mb together.
MOST_FILES = 100_000
# MB beside serving_log_disk_mb, which is looked at every few seconds: files that are being written.
FURTHER_MB = 64


def excess(folder: Path, log_disk_mb: int) -> str:
    """Return what no worker of ours leaves in this folder: a folder, or too much; empty where there is neither."""
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
