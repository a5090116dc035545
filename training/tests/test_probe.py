"""The check that the tracking server responds and accepts the user's credentials."""

import base64
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from fraud.errors import ServiceError
from fraud.settings import Settings
from fraud.tracking.probe import probe
from fraud.tracking.served import version_served

USER = "training"
PASSWORDS = [
    "a long password",
    "Zwölf-Zeichen-é",
    "e\u0301 in two parts",
    "😀 emoji 日本",
    " a:b%c\\d\"e'f$g ",
]


class FrontDoor(BaseHTTPRequestHandler):
    """Accepts requests with the server's password in UTF-8, as NGINX does."""

    def do_GET(self) -> None:
        password: str = self.server.password  # type: ignore[attr-defined]
        wanted = base64.b64encode(f"{USER}:{password}".encode()).decode()
        self.send_response(200 if self.headers["Authorization"] == f"Basic {wanted}" else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings with a server's address; the environment contains the password of this server."""
    with HTTPServer(("127.0.0.1", 0), FrontDoor) as server:
        server.password = request.param  # type: ignore[attr-defined]
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", request.param)
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield Settings.from_env({"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{server.server_port}"})
        server.shutdown()


@pytest.mark.parametrize("door", PASSWORDS, indirect=True)
def test_a_password_of_any_characters_is_accepted(door: Settings) -> None:
    probe(door)
    # This request would raise NotServedError if the door answered 401.
    version_served(door)


@pytest.mark.parametrize("door", PASSWORDS[:1], indirect=True)
def test_a_wrong_password_and_a_missing_server_give_different_errors(
    door: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another")
    with pytest.raises(ServiceError, match="answered 401"):
        probe(door)
