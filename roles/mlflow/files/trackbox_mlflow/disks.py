"""Free space on the disks of the database, of the upload spool and of the artifact store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from trackbox_host.disk import reserved_bytes


class Disks:
    """The disks that a request may fill. settings: the TRACKBOX_* variables of MLflow's unit."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.reserve = settings["TRACKBOX_DISK_RESERVE"]
        self.database, *self.upload = (Path(folder) for folder in settings["TRACKBOX_DISKS"].split())

    def refuse_upload(self, size: int) -> str:
        """Return an error message if an artifact of `size` bytes does not fit; empty if it does."""
        # Skip a missing folder, which MinIO itself reports.
        folders = [folder for folder in self.upload if folder.is_dir()]
        devices = [folder.stat().st_dev for folder in folders]
        for folder, device in zip(folders, devices, strict=True):
            # During an upload, the spool and the artifact store each contain a copy. One disk may have to hold both.
            need, left = size * devices.count(device), free_bytes(folder) - reserved_bytes(self.reserve, folder)
            if left <= need:
                needed = f", and this one needs {need / 2**20:,.0f} MB" if need else ""
                return (
                    "The disk of this Trackbox has too little free space for artifacts: "
                    f"{max(left, 0) / 2**20:,.0f} MB are free above the database's reserve{needed}. "
                    "Searching and logging metrics go on; ask an admin to free space or to enlarge the disk."
                )
        return ""


def free_bytes(folder: Path) -> int:
    """Return the bytes that users other than root may still write on the folder's disk."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
