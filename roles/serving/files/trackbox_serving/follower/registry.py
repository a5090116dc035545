"""A REST client for MLflow's registry. It resolves aliases, downloads the files of versions, and sets tags."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import requests
from requests.auth import HTTPBasicAuth

from trackbox_serving.follower.errors import Refused, Unavailable, sentence
from trackbox_serving.follower.settings import Settings

# Timeouts in seconds: to connect, and between two parts of a response.
TIMEOUT = (3, 15)
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
SCHEME = "mlflow-artifacts:/"
MOST_FILES = 2000


@dataclass(frozen=True)
class Version:
    """A version of a registered model. promoted_by: who moved the alias or registered the version, if known."""

    name: str
    version: str
    run_id: str
    promoted_by: str


@dataclass(frozen=True)
class File:
    """A file of a version. `path` is relative to the model's folder, `size` is in bytes, as the store lists it."""

    path: PurePosixPath
    size: int


def safe(path: str) -> PurePosixPath:
    """Return the path. Raise Refused if it points outside the model's folder."""
    parts = PurePosixPath(path)
    if not path or parts.is_absolute() or ".." in parts.parts or "\0" in path:
        raise Refused(f"The name of a file leaves the model's folder: {sentence(path, 80)}")
    return parts


class Registry:
    """MLflow's REST API, with the follower's password. Each thread has a connection of its own."""

    def __init__(self, settings: Settings) -> None:
        self.url, self.verify = settings.shared.tracking_uri.rstrip("/"), settings.ca_file or True
        # Encode as UTF-8, as NGINX expects. For str, the package requests would use Latin-1.
        login = HTTPBasicAuth(settings.user.encode(), settings.password.encode())
        self.login = login if settings.user else None
        self.local = threading.local()

    @property
    def session(self) -> requests.Session:
        """Return this thread's connection."""
        if not hasattr(self.local, "session"):
            session = requests.Session()
            # Ignore the environment's proxy variables and .netrc files.
            session.trust_env = False
            session.auth, session.verify = self.login, self.verify
            self.local.session = session
        return self.local.session

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Return a response with status 200, or one that reports a missing object. Raise Unavailable for any other."""
        try:
            answer = self.session.request(method, self.url + path, timeout=TIMEOUT, **options)
        except requests.RequestException as error:
            raise Unavailable(f"MLflow does not answer at {self.url}: {sentence(error, 120)}") from error
        if answer.status_code in (200, 404):
            return answer
        if answer.status_code == 400 and code(answer) in ABSENT:
            return answer
        raise Unavailable(f"MLflow answers {answer.status_code} to {path.partition('?')[0]}")

    def version_of(self, name: str, alias: str) -> str | None:
        """Return the version that an alias names now, or None if there is no such model or alias."""
        found = self.named(name, alias)
        return found[0] if found else None

    def named(self, name: str, alias: str) -> tuple[str, str] | None:
        """Return the version that an alias names now and its creation time, or None if model or alias do not exist.

        The time is needed because a model that is deleted and registered again gets the same version numbers again.
        """
        asked = {"name": name, "alias": alias}
        answer = self.ask("GET", "/api/2.0/mlflow/registered-models/alias", params=asked)
        if answer.status_code != 200:
            return None
        found = answer.json()["model_version"]
        return str(found["version"]), str(found.get("creation_timestamp", ""))

    def describe(self, name: str, version: str) -> Version:
        """Return the registry's data about a version. Raise Refused if the version no longer exists."""
        asked = {"name": name, "version": version}
        answer = self.ask("GET", "/api/2.0/mlflow/model-versions/get", params=asked)
        if answer.status_code != 200:
            raise Refused(f"The registry has no version {version}.")
        found = answer.json()["model_version"]
        tags = {tag["key"]: tag["value"] for tag in found.get("tags", [])}
        by = tags.get("decision.by") or tags.get("promoted_by") or found.get("user_id") or ""
        return Version(name, version, found.get("run_id", ""), sentence(by, 80))

    def place(self, name: str, version: str) -> str:
        """Return the path of a version's files in MLflow's artifact store. Raise Refused if the files are not there."""
        asked = {"name": name, "version": version}
        answer = self.ask("GET", "/api/2.0/mlflow/model-versions/get-download-uri", params=asked)
        if answer.status_code != 200:
            raise Refused(f"The registry has no files of version {version}.")
        uri = str(answer.json().get("artifact_uri", ""))
        if not uri.startswith(SCHEME):
            raise Refused(f"The files are not among this server's artifacts: {sentence(uri, 80)}")
        # The URI may be mlflow-artifacts://HOST/PATH. Only PATH counts, because the files are on this server.
        path = uri.removeprefix(SCHEME)
        path = path.removeprefix("/").partition("/")[2] if path.startswith("/") else path
        return str(safe(path))

    def files(self, place: str, below: str = "") -> Iterator[File]:
        """Yield the files of a folder of artifacts and of its subfolders."""
        answer = self.ask("GET", ARTIFACTS, params={"path": str(PurePosixPath(place, below))})
        listed = answer.json().get("files", []) if answer.status_code == 200 else []
        for entry in listed:
            path = str(safe(str(PurePosixPath(below, PurePosixPath(entry["path"]).name))))
            if entry.get("is_dir"):
                yield from self.files(place, path)
            else:
                yield File(PurePosixPath(path), int(entry.get("file_size") or 0))

    def read(self, place: str, file: File) -> Iterator[bytes]:
        """Yield a file's bytes. Raise Refused if the file is missing in the store."""
        path = quote(str(PurePosixPath(place, file.path)))
        try:
            with self.ask("GET", f"{ARTIFACTS}/{path}", stream=True, headers={"Accept-Encoding": "identity"}) as answer:
                if answer.status_code != 200:
                    raise Refused(f"The file {sentence(file.path, 80)} is missing in the artifact store.")
                yield from answer.iter_content(1 << 20)
        except requests.RequestException as error:
            raise Unavailable(f"The download of {sentence(file.path, 80)} broke off: {sentence(error, 120)}") from error

    def tag(self, name: str, version: str, key: str, value: str) -> None:
        """Set a tag of a version. Do nothing if the version no longer exists."""
        body = {"name": name, "version": version, "key": key, "value": value}
        self.ask("POST", "/api/2.0/mlflow/model-versions/set-tag", json=body)


def code(answer: requests.Response) -> str:
    """Return MLflow's error code in a response, or an empty string if the response is not from MLflow."""
    try:
        return str(answer.json().get("error_code", ""))
    except ValueError:
        return ""
