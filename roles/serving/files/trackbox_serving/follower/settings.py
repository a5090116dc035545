"""Settings of the follower: those that it shares with the workers, and its own."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trackbox_serving import settings

PATH = "/etc/trackbox/serving-follower.json"
VARIABLE = "TRACKBOX_FOLLOWER_SETTINGS"  # environment variable that overrides PATH


@dataclass(frozen=True)
class Settings:
    """All settings of the follower.

    Attributes:
        shared: settings that the workers use, too.
        user: user name for NGINX, with `password`. Empty if NGINX needs no password.
        ca_file: CA that signed NGINX's certificate. Empty if the CA is public.
        url: URL of NGINX, as users type it.
        s3_endpoint: URL of the S3 API for logs, with `bucket`, `region`, `s3_user` and `s3_secret`. Empty: no upload.
        poll_seconds: seconds between two queries of an alias.
        load_seconds: seconds that a version has to load and to answer.
        drain_seconds: seconds until a version stops that is no longer live or previous.
        max_model_mb: maximum size of a version on the disk, in MB.
        challenger: alias of versions that score logged rows in the background. Empty if there are none.
        log_disk_mb: maximum size of logs that wait for the store, in MB. Beyond it the oldest are deleted.
        own_environments: whether a version gets its own environment if the default environment does not satisfy it.
        environment_seconds: time limit for making such an environment.

    """

    shared: settings.Settings
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    url: str = ""
    s3_endpoint: str = ""
    bucket: str = "inference"
    region: str = "us-east-1"
    s3_user: str = ""
    s3_secret: str = field(default="", repr=False)
    poll_seconds: float = 3
    load_seconds: float = 120
    drain_seconds: float = 30
    max_model_mb: int = 2048
    challenger: str = ""
    log_disk_mb: int = 1024
    own_environments: bool = True
    environment_seconds: float = 900


def credential(name: str) -> str:
    """Return a secret that systemd passes by LoadCredential=, or an empty string if there is none."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, name) if folder else None
    # Ansible writes the secret without a line break. Spaces at its ends are part of it.
    return path.read_text("utf-8") if path and path.exists() else ""


def load() -> Settings:
    """Read both settings files. Raise OSError, ValueError, TypeError or SettingsError if one of them is not valid."""
    own: dict[str, Any] = json.loads(Path(os.environ.get(VARIABLE, PATH)).read_text())
    return Settings(settings.load(), password=credential("password"), s3_secret=credential("s3_secret"), **own)
