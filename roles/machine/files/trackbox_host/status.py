"""A job's status for monitoring: a JSON file, and a file of its numbers for Prometheus' textfile collector."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FAILED = {"failed": ("failed", "Whether the last try failed.")}
SUCCESS = {"last_success_timestamp_seconds": ("last_success_unix", "When the last successful one ended.")}


def replace(path: Path, text: str) -> None:
    """Replace a file atomically, and let every user read it."""
    new = path.with_name(f".{path.name}")
    new.write_text(text)
    new.chmod(0o644)
    new.replace(path)


def timestamp(seconds: float) -> str:
    """Return a Unix time as ISO 8601, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


@dataclass(frozen=True)
class Status:
    """The files `last.json` and `trackbox_NAME.prom` in a folder.

    file: another name than `last.json`, for the second job of a folder. metrics: the key in the JSON and the help text
    of each metric, by its name. Two metrics are always added: whether the last try failed, and the time of the last
    success.
    """

    folder: Path
    name: str
    metrics: Mapping[str, tuple[str, str]]
    file: str = "last.json"

    def read(self) -> dict[str, Any]:
        """Return the content of the JSON file; empty before the first try."""
        path = self.folder / self.file
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def record(self, error: str, **facts: Any) -> None:
        """Write a job's result to both files.

        error: the error message; empty after a success. facts: further keys and values for the JSON, such as the
        numbers of the metrics.
        """
        now = int(time.time())
        known = facts | {"error": error}
        if not error:
            known |= {"last_success": timestamp(now), "last_success_unix": now}
        self._write(now, known)

    def record_inconclusive(self, reason: str) -> None:
        """Write why a job ended without a result, as `inconclusive` in the JSON. The last result stays."""
        self._write(int(time.time()), {"inconclusive": reason})

    def _write(self, now: int, changed: Mapping[str, Any]) -> None:
        shown = SUCCESS | FAILED | dict(self.metrics)
        known: dict[str, Any] = {key: 0 for key, _ in shown.values() if key != "failed"}
        known |= {"last_success": None, "error": "", **self.read()}
        known.pop("inconclusive", None)
        known |= {**changed, "last_try": timestamp(now)}
        replace(self.folder / self.file, json.dumps(known, indent=2, sort_keys=True) + "\n")
        values = known | {"failed": int(bool(known["error"]))}
        replace(
            self.folder / f"trackbox_{self.name}.prom",
            "".join(
                f"# HELP trackbox_{self.name}_{metric} {text}\n# TYPE trackbox_{self.name}_{metric} gauge\n"
                f"trackbox_{self.name}_{metric} {values[key]}\n"
                for metric, (key, text) in shown.items()
            ),
        )
