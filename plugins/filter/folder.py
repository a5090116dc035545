"""The filter `folder_problems`: whether MinIO can keep its objects in a folder."""

from __future__ import annotations

import re
from collections.abc import Callable

# No character that has a meaning for systemd or a shell, and no space.
PATH = re.compile(r"(/[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*)+")
# Folders of the system itself: as MinIO's folder they would become private.
SYSTEM = {"/opt", "/srv", "/var", "/mnt", "/media", "/var/cache", "/var/lib", "/var/log", "/var/spool"}
# Folders of others, folders that the unit's sandbox hides, and folders that are empty after a reboot.
CLOSED = (
    *("/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/tmp"),
    *("/usr", "/var/run", "/var/tmp", "/var/lib/mysql", "/var/lib/mlflow", "/var/lib/trackbox", "/opt/trackbox"),
)


def folder_problems(folder: str) -> list[str]:
    """Return the sentence by which a folder for the objects is refused, or an empty list.

    folder: minio_data_dir.
    """
    if not PATH.fullmatch(folder):
        return [
            f"minio_data_dir is {folder!r}: give it an absolute path of letters, digits and . _ @ + -, without / at "
            "the end, such as /srv/objects."
        ]
    if folder in SYSTEM or any(folder == closed or folder.startswith(f"{closed}/") for closed in CLOSED):
        return [
            f"minio_data_dir is {folder}, a folder of the system that MinIO cannot have for itself: name a folder of "
            "its own, such as /srv/objects."
        ]
    return []


class FilterModule:
    """The filters of this file, for Ansible."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filters by name."""
        return {"folder_problems": folder_problems}
