"""What the follower remembers: STATE/status.json, which outlives a reboot and has all that the overview shows."""

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
    """Return the time as ISO 8601, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass
class Served:
    """A version that is served. since: when it went live. differs: packages of which it wants other versions.

    made: when it was registered, in ms since 1970; empty: not known.
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
    """The last version that was refused, and why. under: the settings and the program that refused it.

    tagged: whether the registry has the reason, too.
    """

    version: str
    reason: str
    time: str
    under: str = ""
    tagged: bool = False


@dataclass
class ModelStatus:
    """One model. wanted: the version of the alias. candidate: what a new version is going through.

    problem: why the follower does not get on; empty where it does. comparison: of the last candidate, with logged rows.
    challenger: how the version stands that scores logged rows in the background; empty: there is none.
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

    @classmethod
    def read(cls, given: dict[str, Any]) -> ModelStatus:
        """Return the status of what `asdict` made; keys of another release are left out."""
        kinds: dict[str, Any] = {"live": Served, "previous": Served, "refused": Refusal}
        values = only(cls, given)
        for name, kind in kinds.items():
            if values.get(name):
                values[name] = kind(**only(kind, values[name]))
        return cls(**values)


@dataclass
class LogStatus:
    """The delivery of logs. delivered, dropped: files since the installation. problem: empty where all goes well."""

    waiting_files: int = 0
    waiting_bytes: int = 0
    delivered: int = 0
    dropped: int = 0
    problem: str = ""


def only(kind: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Return those of the values that a dataclass has."""
    known = {each.name for each in fields(kind)}
    return {name: value for name, value in given.items() if name in known}


@dataclass
class Status:
    """All models and the log. Threads change it by `change`, which writes the file."""

    path: Path
    models: dict[str, ModelStatus] = field(default_factory=dict)
    log: LogStatus = field(default_factory=LogStatus)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    written: str = field(default="", repr=False)

    @classmethod
    def read(cls, path: Path) -> Status:
        """Return what the file has; an empty status where it is missing or broken: the registry has the rest."""
        try:
            given = json.loads(path.read_text())
            models = {name: ModelStatus.read(each) for name, each in given["models"].items()}
            return cls(path, models, LogStatus(**only(LogStatus, given.get("log", {}))))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls(path)

    def change(self, action: Callable[[], None]) -> None:
        """Change something, and write the file if it differs then."""
        with self.lock:
            action()
            value = {"models": {name: asdict(each) for name, each in self.models.items()}, "log": asdict(self.log)}
            text = json.dumps(value, sort_keys=True)
            if text != self.written:
                write_json(self.path, value)
                self.written = text
