"""The routes and requests to which the middleware `Artifacts` responds with a presigned URL."""

import json
from pathlib import Path
from typing import Any

import pytest
from asgi import application, ask, empty_database, object_of, settings, spool
from trackbox_mlflow.asgi.artifacts import Artifacts
from trackbox_mlflow.disks import Disks

__all__ = ["application", "empty_database", "settings", "spool"]

SIGN = "/-/artifact/7/model.pkl"
ATTACHMENT = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
NGINX = {"x_sendfile_type": "X-Accel-Redirect"}


def signed(application: Any, method: str = "GET", length: str = "", **headers: str) -> bool:
    headers |= {"x_trackbox_method": method} | ({"x_trackbox_length": length} if length else {})
    reply = ask(application, "GET", SIGN, **headers)
    assert (reply.status, "x-trackbox-address" in reply.headers) in ((204, True), (403, False))
    return reply.status == 204


@pytest.fixture(scope="session")
def run(application: Any) -> Any:
    """A run, with a logged model, a version of a registered model, and a trace."""
    from mlflow.entities import TraceInfo, TraceLocation, TraceState
    from mlflow.server.handlers import _get_model_registry_store, _get_tracking_store

    store, registry = _get_tracking_store(), _get_model_registry_store()
    run = store.create_run("0", "user", 0, [], "run")
    model = store.create_logged_model("0", "model", run.info.run_id)
    registry.create_registered_model("m")
    registry.create_model_version("m", run.info.artifact_uri + "/model", run.info.run_id)
    store.start_trace(TraceInfo("tr-1", TraceLocation.from_experiment_id("0"), 0, TraceState.OK))
    return {"run": run.info.run_id, "model": model.model_id}


def routes(run: dict[str, str], path: str) -> list[tuple[str, str]]:
    """Return path and query of each route that sends an artifact, without the routes of traces."""
    return [
        ("/get-artifact", f"run_id={run['run']}&path={path}"),
        ("/get-artifact", f"run_uuid={run['run']}&path={path}"),
        ("/model-versions/get-artifact", f"name=m&version=1&path={path}"),
        (f"/ajax-api/2.0/mlflow/logged-models/{run['model']}/artifacts/files", f"artifact_file_path={path}"),
        (f"/api/2.0/mlflow-artifacts/artifacts/{path}", ""),
        (f"/ajax-api/2.0/mlflow-artifacts/artifacts/{path}", ""),
    ]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("number", range(6))
def test_every_route_gives_nginx_the_address_and_spools_nothing(
    application: Any, run: dict[str, str], spool: Path, method: str, number: int
) -> None:
    path, query = routes(run, "a/b (1).txt")[number]
    reply = ask(application, method, path, query.replace(" ", "%20"), **NGINX)
    assert (reply.status, reply.headers.get("x-accel-redirect")) == (200, "@store"), reply.body
    key = object_of(reply.headers["x-trackbox-address"])
    assert key.startswith("mlflow/kept here/")
    assert key.endswith("/a/b (1).txt")
    assert (reply.body, list(spool.iterdir())) == (b"", [])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("api", ["2.0", "3.0"])
@pytest.mark.parametrize(
    ("path", "file"),
    [("", "traces.json"), (f"&path={ATTACHMENT}", f"attachments/{ATTACHMENT}")],
)
def test_a_trace_gives_nginx_the_address_and_spools_nothing(
    application: Any, run: dict[str, str], spool: Path, method: str, api: str, path: str, file: str
) -> None:
    assert run
    reply = ask(application, method, f"/ajax-api/{api}/mlflow/get-trace-artifact", f"request_id=tr-1{path}", **NGINX)
    assert (reply.status, reply.headers.get("x-accel-redirect")) == (200, "@store"), reply.body
    assert object_of(reply.headers["x-trackbox-address"]) == f"mlflow/kept here/0/traces/tr-1/artifacts/{file}"
    assert (reply.body, list(spool.iterdir())) == (b"", [])


@pytest.mark.parametrize("number", range(6))
def test_a_folder_is_no_artifact(application: Any, run: dict[str, str], number: int) -> None:
    path, query = routes(run, "a/")[number]
    reply = ask(application, "GET", path, query, **NGINX)
    assert (reply.status, json.loads(reply.body)["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize("path", ["/api/2.0/mlflow-artifacts/artifacts/", "/ajax-api/2.0/mlflow-artifacts/artifacts/"])
def test_the_root_of_the_store_is_no_artifact(application: Any, path: str) -> None:
    assert ask(application, "GET", path, **NGINX).status == 404


def test_a_browser_of_an_allowed_origin_may_read_an_artifact(application: Any, run: dict[str, str]) -> None:
    for path, query in routes(run, "x"):
        reply = ask(application, "GET", path, query, origin="https://ml.example", **NGINX)
        assert reply.headers["access-control-allow-origin"] == "https://ml.example"
        reply = ask(application, "GET", path, query, origin="https://evil.example", **NGINX)
        assert "access-control-allow-origin" not in reply.headers


def test_only_a_request_for_an_allowed_host_gets_an_address(application: Any) -> None:
    assert signed(application)
    assert signed(application, host="ml.example")
    assert not signed(application, host="evil.example")
    assert not signed(application, host="ml.example.evil.example")
    assert not signed(application, host="")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_mlflow_decides_about_origins(application: Any, method: str) -> None:
    assert signed(application, method, "5")
    for origin in ("https://evil.example", "https://ml.example", "null", ""):
        assert not signed(application, method, "5", origin=origin)


def test_an_upload_without_a_length_or_a_place_is_watched(application: Any) -> None:
    assert signed(application, "PUT", "0")
    assert not signed(application, "PUT")
    assert not signed(application, "PUT", str(2**60))


class BrokenDisks(Disks):
    """Disks whose free space cannot be read."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def refuse_upload(self, size: int) -> str:
        raise self.error


async def unused(*_: Any) -> None:
    raise AssertionError("MLflow does not get NGINX's subrequest")


def test_after_an_error_mlflow_transfers_the_artifact(
    application: Any, settings: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert application
    artifacts = Artifacts(unused, BrokenDisks(PermissionError("no access to the disk")), settings)
    assert not signed(artifacts, "PUT", "5")
    assert "no access to the disk" in caplog.text
    assert signed(artifacts, "GET")


def test_a_lack_of_memory_is_left_to_the_limits(application: Any, settings: dict[str, str]) -> None:
    assert application
    with pytest.raises(MemoryError):
        signed(Artifacts(unused, BrokenDisks(MemoryError()), settings), "PUT", "5")
