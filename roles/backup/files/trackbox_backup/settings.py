"""Loads the settings from the role's file, which only root can read, and MinIO's root user from MinIO's own files."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STATE = Path("/var/lib/trackbox/backup")
SECRETS = Path("/etc/trackbox")
# This file exists while a restore test has a scratch schema or bucket.
PROVING = STATE / "proving"
# The file HALF exists while a restore is unfinished. One of the files UPGRADING exists while an upgrade is unfinished.
HALF = Path("/var/lib/trackbox/half-restored")
MINIO_UNIT = Path("/etc/systemd/system/minio.service")
DATABASE_FOLDER = Path("/var/lib/mysql")
UPGRADING = (Path("/var/lib/trackbox/upgrading"), Path("/var/lib/trackbox/dumps/unfinished"))
# This file exists while the rotation of MLflow's passphrase is unfinished.
REWRAPPING = Path("/var/lib/trackbox/rotating/mlflow_encryption_passphrase")


@dataclass(frozen=True)
class Settings:
    """The settings of roles/backup, and the name and password of MinIO's root user."""

    target: str
    password: str
    host: str
    keep: dict[str, int]
    read_data: str
    s3_access_key: str
    s3_secret_key: str
    ssh_key: str
    ssh_known_hosts: str
    socket: str
    dump: str
    client: str
    database: str
    bucket: str
    endpoint: str
    region: str
    objects: str
    # The bucket that a restore test fills and removes.
    scratch_bucket: str
    # The space that stays free on each disk: a share of the disk, such as 5%, or a number of bytes.
    reserve: str
    # Folders to back up, which the roles of other services declare under `keeps`.
    folders: list[str]
    root_user: str = ""
    root_password: str = ""

    @property
    def flavor(self) -> str:
        """Return the database server, mysql or mariadb. A dump of one may not load into the other."""
        return "mariadb" if "mariadb" in self.dump else "mysql"


def load() -> Settings:
    """Read the settings from the unit's credential or, outside of the unit, from the file under /etc/trackbox."""
    # Before systemd 254 a unit's ExecStopPost finds no credential in this folder.
    paths = [Path(os.environ.get("CREDENTIALS_DIRECTORY", "")) / "settings", SECRETS / "backup/settings"]
    path = next((path for path in paths if path.is_absolute() and path.exists()), paths[-1])
    found: dict[str, Any] = json.loads(path.read_text())
    unit = MINIO_UNIT.read_text()
    user = re.search(r"^Environment=MINIO_ROOT_USER=(.+)$", unit, re.MULTILINE)
    password = (SECRETS / "minio/root_password").read_text().strip()
    return Settings(
        **found,
        root_user=user[1] if user else "",
        root_password=password,
    )
