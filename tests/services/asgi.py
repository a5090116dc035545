"""Fixtures for MLflow's application with Trackbox's middlewares, and a function that calls it without a server.

Tests that import this file are skipped if MLflow is not installed. Run them with training/.venv, which contains MLflow:
training/.venv/bin/pytest tests/services
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

pytest.importorskip("mlflow")
from trackbox_mlflow import signing

__all__ = ["signing"]

STORE = "http://127.0.0.1:9000"
WIRING = yaml.safe_load((Path(__file__).parents[2] / "roles/mlflow/meta/wiring.yml").read_text())["mlflow"]
# The value of TRACKBOX_READING_POSTS in MLflow's systemd unit.
READING_POSTS = "|".join(WIRING["reading_posts"])


@dataclass
class Reply:
    """The response of an ASGI application."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def ask(application: Any, method: str, path: str, query: str = "", **headers: str) -> Reply:
    """Send a request without a body to an ASGI application; return the response."""
    reply = Reply()
    headers = {"host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            reply.headers = {name.decode(): value.decode("latin-1") for name, value in message["headers"]}
        reply.body += message.get("body", b"")

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 5000),
    }
    asyncio.run(application(scope, receive, send))
    return reply


def object_of(address: str) -> str:
    """Return the bucket and the key in a presigned URL."""
    return unquote(address.partition("?")[0]).removeprefix("/")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with MLflow's tables, which tests copy. SQLite does not sync to the disk, to save time."""
    from mlflow.store.db.utils import _initialize_tables
    from sqlalchemy import Engine, create_engine, event

    event.listen(Engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    path = tmp_path_factory.mktemp("database") / "empty.db"
    engine = create_engine(f"sqlite:///{path}")
    _initialize_tables(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def settings(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment variables that MLflow's systemd unit sets."""
    folder = tmp_path_factory.mktemp("mlflow")
    given = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_S3_ENDPOINT_URL": STORE,
        "MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow/kept here",
        "MLFLOW_SERVER_ALLOWED_HOSTS": "localhost,ml.example",
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "https://ml.example",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "TRACKBOX_STORE": STORE,
        "TRACKBOX_READY": str(folder / "ready"),
        "TRACKBOX_DISK_RESERVE": "0",
        "TRACKBOX_DISKS": f"{folder} {folder}",
        "TRACKBOX_MAX_REQUEST": str(2**20),
        "TRACKBOX_READING_POSTS": READING_POSTS,
        "EMPTY_DATABASE": str(empty_database),
        # The command `mlflow server` sets these variables for its workers.
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder}/mlflow.db",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": "s3://mlflow/kept here",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        # MLflow spools artifacts in TMPDIR, so tests can check that it spooled nothing.
        "TMPDIR": str(folder / "spool"),
    }
    (folder / "spool").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        yield given


@pytest.fixture(scope="session")
def application(settings: dict[str, str]) -> Any:
    """MLflow's application with Trackbox's middlewares, as server.py serves it."""
    from mlflow.server.fastapi_app import app
    from trackbox_mlflow.asgi import wrap

    signing.install()
    return wrap(app, settings)


@pytest.fixture(scope="session")
def spool(settings: dict[str, str]) -> Path:
    """The folder in which MLflow spools artifacts during a transfer."""
    return Path(os.environ["TMPDIR"])
