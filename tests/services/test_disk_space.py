"""Requests without enough free disk space get 507. A 500 becomes 507 if a disk is full, or 503 if MinIO is down."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgi import READING_POSTS
from trackbox_host.disk import reserved_bytes
from trackbox_mlflow import disks
from trackbox_mlflow.asgi.disk_space import CHECK_INTERVAL, DiskSpace
from trackbox_mlflow.asgi.errors import ErrorAnswers
from trackbox_mlflow.asgi.readiness import Readiness
from trackbox_mlflow.asgi.types import Application, Message, Receive, Scope, Send
from trackbox_mlflow.disks import Disks, free_bytes

ARTIFACT = "/api/2.0/mlflow-artifacts/artifacts/x"
FULL_UPLOAD = "has too little free space for artifacts"
FULL_DATABASE = "is full, and nothing can be written"


@pytest.fixture
def space(tmp_path: Path) -> Disks:
    """Disks with one folder for the database and the upload spool. The artifact store's folder does not exist."""
    return Disks({"TRACKBOX_DISK_RESERVE": "0", "TRACKBOX_DISKS": f"{tmp_path} {tmp_path} {tmp_path / 'missing'}"})


def ask(
    application: Application, method: str, path: str, bodies: list[bytes] | None = None, **headers: str
) -> tuple[int, bytes]:
    """Send a request; return status and body of the response."""
    parts, sent = list(bodies or [b""]), []

    async def receive() -> Message:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: Message) -> None:
        sent.append(message)

    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": given}
    asyncio.run(application(scope, receive, send))  # type: ignore[arg-type]
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def answering(status: int) -> Application:
    """Return an application that reads the body and responds with a status, or with 500 if the client disconnects."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        more, code = True, status
        while more:
            message = await receive()
            more = message.get("more_body", False)
            code = 500 if message["type"] == "http.disconnect" else code
        await send({"type": "http.response.start", "status": code, "headers": []})
        await send({"type": "http.response.body", "body": b"from MLflow"})

    return application


def fill(monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    monkeypatch.setattr(disks, "free_bytes", lambda _: left)
    monkeypatch.setattr("trackbox_mlflow.asgi.disk_space.free_bytes", lambda _: left)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/x"), ("POST", "/api/2.0/mlflow/runs/search"), ("DELETE", ARTIFACT)]
)
def test_what_needs_no_space_is_served_on_a_full_disk(
    space: Disks, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    fill(monkeypatch, 0)
    assert ask(DiskSpace(answering(200), space, READING_POSTS), method, path) == (200, b"from MLflow")


def test_a_change_of_the_database_is_refused_on_a_full_disk(space: Disks, monkeypatch: pytest.MonkeyPatch) -> None:
    served = DiskSpace(answering(200), space, READING_POSTS)
    assert ask(served, "POST", "/api/2.0/mlflow/runs/create")[0] == 200
    fill(monkeypatch, 2**20)
    assert ask(served, "POST", "/api/2.0/mlflow/runs/search/x")[0] == 507
    status, body = ask(served, "POST", "/api/2.0/mlflow/runs/create")
    assert (status, json.loads(body)["error_code"]) == (507, "RESOURCE_EXHAUSTED")
    assert FULL_DATABASE in json.loads(body)["message"]


def test_an_upload_needs_its_size_on_each_disk_that_holds_it(space: Disks, monkeypatch: pytest.MonkeyPatch) -> None:
    served = DiskSpace(answering(200), space, READING_POSTS)
    fill(monkeypatch, 100 * 2**20)
    assert ask(served, "PUT", ARTIFACT, content_length=str(60 * 2**20))[0] == 200
    status, body = ask(served, "PUT", ARTIFACT, content_length=str(101 * 2**20))
    assert (status, FULL_UPLOAD.encode() in body, b"needs 101 MB" in body) == (507, True, True)
    # With spool and artifact store on one disk, an upload of 60 MB needs 120 MB.
    space.upload = [space.database, space.database]
    assert ask(served, "PUT", ARTIFACT, content_length=str(60 * 2**20))[0] == 507


def test_an_upload_that_fills_the_disk_on_its_way_is_cut_off(space: Disks, monkeypatch: pytest.MonkeyPatch) -> None:
    served = DiskSpace(answering(200), space, READING_POSTS)
    bodies = [bytes(CHECK_INTERVAL // 2)] * 3
    assert ask(served, "PUT", ARTIFACT, list(bodies)) == (200, b"from MLflow")
    lefts = iter([2**30, 0])
    monkeypatch.setattr(disks, "free_bytes", lambda _: next(lefts))
    status, body = ask(served, "PUT", ARTIFACT, list(bodies))
    assert (status, FULL_UPLOAD.encode() in body) == (507, True)


def test_the_reserve_is_a_share_or_bytes(space: Disks, tmp_path: Path) -> None:
    assert reserved_bytes(space.reserve, tmp_path) == 0
    space.reserve = "100%"
    assert reserved_bytes(space.reserve, tmp_path) >= free_bytes(tmp_path)
    assert FULL_UPLOAD in space.refuse_upload(0)


@pytest.fixture
def store() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_500_is_explained_where_its_cause_is_known(space: Disks, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    explained = ErrorAnswers(answering(500), space, store)
    assert ask(explained, "GET", "/x") == (500, b"from MLflow")
    away = ErrorAnswers(answering(500), space, "http://127.0.0.1:1")
    status, body = ask(away, "GET", "/x")
    assert (status, b"The object store does not answer" in body) == (503, True)
    assert ask(ErrorAnswers(answering(404), space, "http://127.0.0.1:1"), "GET", "/x") == (404, b"from MLflow")
    fill(monkeypatch, 0)
    status, body = ask(explained, "GET", "/x")
    assert (status, FULL_UPLOAD.encode() in body) == (507, True)


def test_the_file_that_says_ready_is_made_once_the_application_is_up(tmp_path: Path) -> None:
    from anyio.to_thread import current_default_thread_limiter

    ready, seen = tmp_path / "ready", []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["type"], ready.exists(), current_default_thread_limiter().total_tokens))
        await send({"type": "lifespan.startup.complete"})

    async def nothing(*_: Any) -> Any:
        return {}

    async def both() -> None:
        readiness = Readiness(application, ready, pool=20)
        await readiness({"type": "http"}, nothing, nothing)
        await readiness({"type": "lifespan"}, nothing, nothing)

    asyncio.run(both())
    assert seen == [("http", False, 40), ("lifespan", False, 10)]
    assert ready.exists()
