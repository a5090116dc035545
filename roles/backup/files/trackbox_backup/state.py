"""What monitoring reads: when a backup last succeeded, and what came of the last one."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from trackbox_backup.settings import STATE

METRICS = """\
# HELP trackbox_backup_last_success_timestamp_seconds When the last backup that was verified ended.
# TYPE trackbox_backup_last_success_timestamp_seconds gauge
trackbox_backup_last_success_timestamp_seconds {last_success_unix}
# HELP trackbox_backup_failed Whether the last try failed.
# TYPE trackbox_backup_failed gauge
trackbox_backup_failed {failed}
# HELP trackbox_backup_duration_seconds How long the last successful one took.
# TYPE trackbox_backup_duration_seconds gauge
trackbox_backup_duration_seconds {seconds}
# HELP trackbox_backup_bytes What it holds, before deduplication.
# TYPE trackbox_backup_bytes gauge
trackbox_backup_bytes {bytes}
"""


def write(path: Path, text: str) -> None:
    """Replace a file that everybody reads, whole or not at all."""
    new = path.with_name(f".{path.name}")
    new.write_text(text)
    new.chmod(0o644)
    new.replace(path)


def note(**news: Any) -> None:
    """Add the news to what is known; an empty `error` is a success."""
    path = STATE / "last.json"
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    known = {"last_success": None, "last_success_unix": 0, "seconds": 0, "bytes": 0} | known | news
    now = int(time.time())
    known["last_try"] = stamp(now)
    if not known["error"]:
        known |= {"last_success": stamp(now), "last_success_unix": now}
    write(path, json.dumps(known, indent=2, sort_keys=True) + "\n")
    write(STATE / "trackbox_backup.prom", METRICS.format(failed=int(bool(known["error"])), **known))


def stamp(seconds: float) -> str:
    """Return a time as people and programs read it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
