"""The follower's status in STATE/status.json. It survives a reboot, and contains all that the overview page shows."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trackbox_serving.files import write_json


def now() -> str:
    """Return the current time as ISO 8601, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass
class Served:
    """A version that is served.

    Attributes:
        since: time when it went live.
        differs: required packages of which other versions are installed.
        made: time when it was registered, in ms since 1970. Empty if it is unknown.

    """

    version: str
    run_id: str = ""
    since: str = ""
    promoted_by: str = ""
    threshold: float | None = None
    differs: str = ""
    made: str = ""


@dataclass
class Refusal:
    """The last version that was refused, and the reason.

    Attributes:
        under: hash of the settings, program and environment under which it was refused.
        tagged: whether the reason was also written into a tag of the version.

    """

    version: str
    reason: str
    time: str
    under: str = ""
    tagged: bool = False


@dataclass
class ModelStatus:
    """The status of one model.

    Attributes:
        wanted: number of the version that the alias names.
        candidate: progress of a new version. Empty if there is none.
        comparison: how the last candidate scored logged rows, compared with the live version.
        challenger: state of the version that scores logged rows in the background. Empty if there is none.
        problem: reason why the follower cannot continue. Empty if there is none.
        preparing: number of the version whose packages are prepared. Empty if there is none.

    """

    name: str
    alias: str
    wanted: str | None = None
    live: Served | None = None
    previous: Served | None = None
    candidate: str = ""
    refused: Refusal | None = None
    comparison: str = ""
    challenger: str = ""
    problem: str = ""
    preparing: str = ""

    @classmethod
    def read(cls, given: dict[str, Any]) -> ModelStatus:
        """Return the status from a dictionary that `asdict` made. Ignore keys that this release does not know."""
        kinds: dict[str, Any] = {"live": Served, "previous": Served, "refused": Refusal}
        values = only(cls, given)
        for name, kind in kinds.items():
            if values.get(name):
                values[name] = kind(**only(kind, values[name]))
        return cls(**values)


@dataclass
class LogStatus:
    """The status of log uploads. `delivered` and `dropped` count files since the installation."""

    waiting_files: int = 0
    waiting_bytes: int = 0
    delivered: int = 0
    dropped: int = 0
    problem: str = ""


def only(kind: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Return the values whose names are fields of a dataclass."""
    known = {each.name for each in fields(kind)}
    return {name: value for name, value in given.items() if name in known}


@dataclass
class Status:
    """The status of all models and of log uploads. Threads must modify it with `change`, which writes the file."""

    path: Path
    models: dict[str, ModelStatus] = field(default_factory=dict)
    log: LogStatus = field(default_factory=LogStatus)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    written: str = field(default="", repr=False)

    @classmethod
    def read(cls, path: Path) -> Status:
        """Return the status in the file. If the file is missing or broken, return an empty status."""
        try:
            given = json.loads(path.read_text())
            models = {name: ModelStatus.read(each) for name, each in given["models"].items()}
            return cls(path, models, LogStatus(**only(LogStatus, given.get("log", {}))))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls(path)

    def change(self, action: Callable[[], None]) -> None:
        """Run an action that may change the status, and write the file if the status has changed."""
        with self.lock:
            action()
            value = {"models": {name: asdict(each) for name, each in self.models.items()}, "log": asdict(self.log)}
            text = json.dumps(value, sort_keys=True)
            if text != self.written:
                write_json(self.path, value)
                self.written = text
