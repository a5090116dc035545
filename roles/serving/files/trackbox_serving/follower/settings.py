"""Settings of the follower: those that it shares with the workers, and its own."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trackbox_serving import settings

PATH = "/etc/trackbox/serving-follower.json"
VARIABLE = "TRACKBOX_FOLLOWER_SETTINGS"  # environment variable: another path


@dataclass(frozen=True)
class Settings:
    """What the follower knows.

    Attributes:
        shared: the settings that the workers have, too.
        user: at the front door, with `password`; empty: no password is asked for.
        ca_file: of the front door's certificate; empty: a public authority signed it.
        url: of the front door, as people type it.
        s3_endpoint: where logs go, to `bucket` in `region` with the key `s3_user` and `s3_secret`; empty: nowhere.
        poll_seconds: between two questions for an alias.
        load_seconds: for a version to load and to answer.
        drain_seconds: after which a version stops that is neither live nor previous.
        max_model_mb: of a version on the disk.
        challenger: the alias of versions that score logged rows in the background; empty: none does.
        log_disk_mb: of logs that wait for the store; beyond it the oldest are dropped.

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


def credential(name: str) -> str:
    """Return a secret that systemd hands on by LoadCredential=; empty without it."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, name) if folder else None
    return path.read_text().strip() if path and path.exists() else ""


def load() -> Settings:
    """Read both files of settings. OSError, ValueError, TypeError, SettingsError: one of them cannot be used."""
    own: dict[str, Any] = json.loads(Path(os.environ.get(VARIABLE, PATH)).read_text())
    return Settings(settings.load(), password=credential("password"), s3_secret=credential("s3_secret"), **own)
