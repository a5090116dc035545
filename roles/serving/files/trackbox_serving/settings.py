"""Read the settings of serving from /etc/trackbox/serving.json, which Ansible writes. The file has no secrets."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

PATH = "/etc/trackbox/serving.json"
VARIABLE = "TRACKBOX_SERVING_SETTINGS"  # environment variable that overrides PATH
LOGS = ("all", "scores", "off")


class SettingsError(Exception):
    """The settings cannot be used; the message names the file, the field and the remedy."""


@dataclass(frozen=True)
class ModelSetting:
    """A registered model that is served.

    Attributes:
        name: name of the registered model.
        alias: alias whose version is served.
        allow_code: whether a version may run Python code that was logged with it.

    """

    name: str
    alias: str = "champion"
    allow_code: bool = False


@dataclass(frozen=True)
class Settings:
    """All settings.

    Attributes:
        models: registered models that are served.
        state: folder of models and logs.
        run: folder of the Unix sockets.
        environments: folder of the environments of versions that do not use the default environment.
        max_rows: maximum number of rows in a request.
        max_body_mb: maximum size of a request's body in MiB, after decompression.
        processes: number of worker processes of each version.
        max_waiting: maximum number of unanswered requests in a process. Further requests are refused.
        log: `all` logs the features and the scores of each row, `scores` the scores alone, `off` nothing.
        tracking_uri: URL of MLflow. Only the follower uses it.
        log_queue: rows that may wait for the log in each process. Further rows are dropped and counted.
        replay_rows: rows of each log file that the follower gets, so that other versions can score them. 0 means none.

    """

    models: tuple[ModelSetting, ...] = ()
    state: Path = Path("/var/lib/trackbox-serving")
    run: Path = Path("/run/trackbox-serving")
    environments: Path = Path("/var/lib/trackbox-serving-environments")
    max_rows: int = 100_000
    max_body_mb: int = 64
    processes: int = 2
    max_waiting: int = 64
    log: Literal["all", "scores", "off"] = "all"
    tracking_uri: str = ""
    log_queue: int = 10_000
    replay_rows: int = field(default=1000, metadata={"least": 0})


def load(path: Path | None = None) -> Settings:
    """Read the settings.

    Args:
        path: path of the file. By default it is TRACKBOX_SERVING_SETTINGS of the environment, or else
            /etc/trackbox/serving.json.

    Raises:
        SettingsError: the file is missing or is not JSON, or a field is unknown or has the wrong type.

    """
    path = path or Path(os.environ.get(VARIABLE, PATH))
    try:
        given = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {error}. Run site.yml again.") from error
    if not isinstance(given, dict):
        raise SettingsError(f"{path} is no JSON object. Run site.yml again.")
    values = {**given, "models": tuple(checked(ModelSetting, one, path) for one in given.get("models", ()))}
    settings: Settings = checked(Settings, values, path)
    if settings.log not in LOGS:
        raise SettingsError(f"{path}: log is {settings.log!r}; it must be one of {', '.join(LOGS)}.")
    return settings


def checked(kind: type[Any], given: Any, path: Path) -> Any:
    """Build a dataclass from a JSON object. Raise SettingsError if a field is unknown or its value is not valid."""
    if not isinstance(given, dict):
        raise SettingsError(f"{path}: {given!r} is no JSON object.")
    known = {field.name: field for field in fields(kind)}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise SettingsError(f"{path}: {name!r} is no field; the fields are {', '.join(known)}.")
        # A value must have the type of the field's default. Only `name` has no default; it must be a string.
        default: Any = getattr(kind, name, "")
        wanted: type[Any] = str if isinstance(default, Path) else type(default)
        if type(value) is not wanted:
            raise SettingsError(f"{path}: {name} is {value!r}; it must be of the type {wanted.__name__}.")
        least = known[name].metadata.get("least", 1)
        if isinstance(value, int) and wanted is int and value < least:
            raise SettingsError(f"{path}: {name} is {value}; it must be {least} or more.")
        values[name] = Path(value) if isinstance(default, Path) else value
    if missing := [name for name in known if name not in values and not hasattr(kind, name)]:
        raise SettingsError(f"{path}: a model has no {missing[0]}.")
    return kind(**values)
