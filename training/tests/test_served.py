"""`fraud promote --wait` and `fraud rollback --wait` wait for the version, or print an error.

The registry is a real MLflow server. The endpoint is a small HTTP server that imitates the
scoring server's response. `tests/machine/test_serving.py` tests the real endpoint.
"""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from mlflow import MlflowClient

from fraud.cli.main import run
from fraud.errors import NotServedError
from fraud.settings import Settings
from fraud.tracking import registry, served


class Endpoint(HTTPServer):
    """Responds with the status `status` and the model version `version`."""

    status, version, path = 200, "", ""


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        self.server.path = self.path
        self.send_response(self.server.status)
        self.send_header("X-Model-Version", self.server.version)
        self.end_headers()


@pytest.fixture
def endpoint(bare: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    with Endpoint(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        bare.setenv("FRAUD_SERVING_URL", f"http://127.0.0.1:{server.server_port}/serving")
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def model(endpoint: Endpoint, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a registered model of this test's own, because the tests share a server."""
    import fraud.promote

    for module in (registry, fraud.promote, served):
        monkeypatch.setattr(module, "NAME", settings.experiment)
    return settings.experiment


def train(data: Path, recipe: str) -> None:
    assert run(["train", "--data", str(data), "--models", recipe, "--quiet", "--json"]) == 0


def serve_later(endpoint: Endpoint, version: str, seconds: float) -> None:
    threading.Timer(seconds, lambda: setattr(endpoint, "version", version)).start()


def test_promote_and_rollback_return_when_the_endpoint_serves_the_version(
    endpoint: Endpoint,
    model: str,
    client: MlflowClient,
    small_csv: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train(small_csv, "logistic")
    serve_later(endpoint, "1", 1)
    assert run(["promote", "--wait"]) == 0
    assert "The endpoint serves version 1 after " in capsys.readouterr().out
    assert endpoint.path == f"/serving/{model}/ping"
    assert client.get_model_version(model, "1").tags["decision.by"]
    train(small_csv, "dummy")
    serve_later(endpoint, "2", 1)
    start = time.monotonic()
    assert run(["promote", "--force", "--wait"]) == 0
    assert time.monotonic() - start >= 1
    # An earlier refusal of version 1 does not end the wait, because rollback deletes the tag.
    client.set_model_version_tag(model, "1", "serving", "refused: an old reason")
    serve_later(endpoint, "1", 1)
    assert run(["rollback", "--wait"]) == 0
    assert "The endpoint serves version 1 after " in capsys.readouterr().out
    # If the version is refused, the command prints the reason and the version that is served.
    refused = threading.Timer(
        1, lambda: client.set_model_version_tag(model, "2", "serving", "refused: no example")
    )
    refused.start()
    assert run(["rollback", "--wait"]) == 8
    said = capsys.readouterr().err
    assert "Version 2 was refused: no example. Version 1 is still served." in said


def register(client: MlflowClient, model: str) -> None:
    """Create a registered model with one version."""
    client.create_registered_model(model)
    run = client.create_run("0")
    client.create_model_version(model, f"{run.info.artifact_uri}/model", run.info.run_id)


def test_packages_that_are_prepared_take_as_long_as_they_do(
    endpoint: Endpoint, model: str, settings: Settings, client: MlflowClient
) -> None:
    register(client, model)
    client.set_model_version_tag(model, "1", "serving", "prepares its packages since 2026-11-30")
    serve_later(endpoint, "1", 8)
    asked = type(settings)(
        **{**vars(settings), "serving_url": f"http://127.0.0.1:{endpoint.server_port}/serving"}
    )
    with pytest.raises(NotServedError, match="No version is served"):
        served.wait(asked, "1", limit=1, preparing=0)
    said: list[str] = []
    # The limit must be longer than the interval between two reads of the tag.
    assert 4 < served.wait(asked, "1", limit=3, say=said.append) < 60
    assert said == ["Version 1 prepares its packages since 2026-11-30. No version is served."]


def test_an_endpoint_that_does_not_exist_or_does_not_follow_is_said(
    endpoint: Endpoint, model: str, settings: Settings, client: MlflowClient
) -> None:
    register(client, model)
    endpoint.version = "7"
    asked = Settings.from_env({"MLFLOW_TRACKING_URI": settings.tracking_uri})
    asked = type(settings)(
        **{**vars(asked), "serving_url": f"http://127.0.0.1:{endpoint.server_port}/serving"}
    )
    with pytest.raises(NotServedError, match=r"not served after 1 s\. Version 7 is still served"):
        served.wait(asked, "1", limit=1)
    endpoint.status = 503
    with pytest.raises(NotServedError, match="No version is served"):
        served.wait(asked, "1", limit=1)
    endpoint.status = 404
    with pytest.raises(NotServedError, match="serving_models"):
        served.wait(asked, "1", limit=1)
