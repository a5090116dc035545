"""What the role hands on: one file that root alone reads, and what stands on the machine anyway."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STATE = Path("/var/lib/trackbox/backup")
SECRETS = Path("/etc/trackbox")
# The first is there while a restore has not ended, the others while an upgrade has not.
HALF = Path("/var/lib/trackbox/half-restored")
MINIO_UNIT = Path("/etc/systemd/system/minio.service")
DATABASE_FOLDER = Path("/var/lib/mysql")
UPGRADING = (Path("/var/lib/trackbox/upgrading"), Path("/var/lib/trackbox/dumps/unfinished"))


@dataclass(frozen=True)
class Settings:
    """The settings of roles/backup, and who MinIO's root is."""

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
    # Those of further services, as their roles declare them.
    folders: list[str]
    root_user: str = ""
    root_password: str = ""

    @property
    def flavor(self) -> str:
        """Return which server it is that dumps, mysql or mariadb: neither reads all that the other one writes."""
        return "mariadb" if "mariadb" in self.dump else "mysql"


def load() -> Settings:
    """Read the settings from systemd's credentials, or from where those come from."""
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
