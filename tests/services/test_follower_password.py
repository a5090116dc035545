"""The follower sends its password as NGINX expects it, whatever characters it has."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

pytest.importorskip("skops")
from trackbox_serving.follower import settings
from trackbox_serving.follower.registry import Registry


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        self.server.sent = self.headers["Authorization"]  # type: ignore[attr-defined]
        self.send_response(404)
        self.end_headers()


@pytest.mark.parametrize(
    "password", ["a long password", "Zwölf-Zeichen-é", "twelve 😀 and more", " spaces at both ends "]
)
def test_the_password_is_sent_in_utf_8_and_with_its_spaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    (tmp_path / "password").write_text(password, "utf-8")
    (tmp_path / "follower.json").write_text(json.dumps({"user": "serving"}))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("TRACKBOX_SERVING_SETTINGS", str(tmp_path / "shared.json"))
    monkeypatch.setenv(settings.VARIABLE, str(tmp_path / "follower.json"))
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        (tmp_path / "shared.json").write_text(json.dumps({"tracking_uri": f"http://127.0.0.1:{server.server_port}"}))
        thread = threading.Thread(target=server.handle_request)
        server.timeout = 10
        thread.start()
        assert Registry(settings.load()).named("fraud", "champion") is None
        thread.join()
        assert server.sent == "Basic " + base64.b64encode(f"serving:{password}".encode()).decode()  # type: ignore[attr-defined]
