"""The settings: from the file that the role writes for root alone, and MinIO's root user from its own files."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STATE = Path("/var/lib/trackbox/backup")
SECRETS = Path("/etc/trackbox")
# HALF exists while a restore is unfinished, and a file of UPGRADING while an upgrade is.
HALF = Path("/var/lib/trackbox/half-restored")
MINIO_UNIT = Path("/etc/systemd/system/minio.service")
DATABASE_FOLDER = Path("/var/lib/mysql")
UPGRADING = (Path("/var/lib/trackbox/upgrading"), Path("/var/lib/trackbox/dumps/unfinished"))


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
    # Folders of further services, which their roles declare under `keeps`.
    folders: list[str]
    root_user: str = ""
    root_password: str = ""

    @property
    def flavor(self) -> str:
        """Return the database server, mysql or mariadb: neither loads every dump of the other."""
        return "mariadb" if "mariadb" in self.dump else "mysql"


def load() -> Settings:
    """Read the settings from systemd's credentials, or, outside of the unit, from the file behind them."""
    folder = Path(os.environ.get("CREDENTIALS_DIRECTORY", SECRETS / "backup"))
    found: dict[str, Any] = json.loads((folder / "settings").read_text())
    unit = MINIO_UNIT.read_text()
    user = re.search(r"^Environment=MINIO_ROOT_USER=(.+)$", unit, re.MULTILINE)
    password = (SECRETS / "minio/root_password").read_text().strip()
    return Settings(
        **found,
        root_user=user[1] if user else "",
        root_password=password,
    )
