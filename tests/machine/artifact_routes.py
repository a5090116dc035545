"""All routes on which MLflow sends an artifact: of a run, a model version, a logged model and a trace."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any
from urllib.parse import quote

import pytest
from machine import Answer, Machine

STORE = "mlflow-artifacts/artifacts/"
FILE = str(uuid.uuid4())  # a UUID, because attachments of traces have a UUID as name


@dataclass(frozen=True)
class Door:
    """Sends the admin's requests for artifacts to NGINX.

    routes: path and query up to the artifact's name, by route. folders: folder for uploads, by route.
    """

    machine: Machine
    routes: dict[str, str]
    folders: dict[str, str]

    @property
    def login(self) -> str:
        """The value of the header Authorization."""
        return "Basic " + base64.b64encode(f"admin:{self.machine.secret('admin_password')}".encode()).decode()

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request with these headers, and with raw bytes as the body."""
        given = {name.replace("_", "-"): value for name, value in headers.items()} | {"Authorization": self.login}
        trust = ssl.create_default_context(cafile=str(self.machine.secrets / "ca.crt"))
        request = urllib.request.Request(self.machine.url + path, body, given, method=method)
        try:
            response: HTTPResponse | urllib.error.HTTPError = urllib.request.urlopen(request, context=trust, timeout=60)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            return Answer(response.status or 0, response.headers, response.read())

    def call(self, path: str, **body: Any) -> dict[str, Any]:
        """Make an API call, which must succeed; return the decoded response."""
        answer = self.ask("POST", path, json.dumps(body).encode(), Content_Type="application/json")
        assert answer.status == 200, answer.body
        return dict(json.loads(answer.body))

    def put(self, route: str, name: str, body: bytes) -> Answer:
        """Upload an artifact to the folder from which a route reads."""
        return self.ask("PUT", f"/api/2.0/{STORE}{self.folders[route]}/{quote(name)}", body)

    def get(self, route: str, name: str, method: str = "GET", **headers: str) -> Answer:
        """Request an artifact on a route."""
        safe = "/" if STORE in self.routes[route] else ""
        return self.ask(method, self.routes[route] + quote(name, safe=safe), None, **headers)


NAMES = ["artifacts", "ajax artifacts", "run", "old run", "model version", "logged model", "trace", "old trace"]


@pytest.fixture(scope="module")
def door(machine: Machine) -> Iterator[Door]:
    """Create a run, a model version, a logged model and a trace; yield a Door with their routes; delete all four."""
    door, name = Door(machine, {}, {}), f"artifacts-{uuid.uuid4().hex}"
    experiment = door.call("/api/2.0/mlflow/experiments/create", name=name)["experiment_id"]
    run = door.call("/api/2.0/mlflow/runs/create", experiment_id=experiment)["run"]["info"]
    door.call("/api/2.0/mlflow/registered-models/create", name=name)
    source = {"source": f"{run['artifact_uri']}/m", "run_id": run["run_id"]}
    door.call("/api/2.0/mlflow/model-versions/create", name=name, **source)
    model = door.call("/api/2.0/mlflow/logged-models", experiment_id=experiment, name="m")["model"]["info"]
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    trace = {"trace_id": f"tr-{uuid.uuid4().hex}", "trace_location": place, "state": "OK"}
    trace["request_time"] = "2026-01-01T00:00:00Z"
    trace = door.call("/api/3.0/mlflow/traces", trace={"trace_info": trace})["trace"]["trace_info"]
    roots = [run["artifact_uri"]] * 4 + [f"{run['artifact_uri']}/m", model["artifact_uri"]]
    roots += [trace["tags"]["mlflow.artifactLocation"] + "/attachments"] * 2
    runs = roots[0].removeprefix("mlflow-artifacts:/").strip("/")
    routes = [f"/api/2.0/{STORE}{runs}/", f"/ajax-api/2.0/{STORE}{runs}/"]
    routes += [f"/get-artifact?run_id={run['run_id']}&path=", f"/get-artifact?run_uuid={run['run_id']}&path="]
    routes += [f"/model-versions/get-artifact?name={name}&version=1&path="]
    routes += [f"/ajax-api/2.0/mlflow/logged-models/{model['model_id']}/artifacts/files?artifact_file_path="]
    routes += [
        f"/ajax-api/{api}/mlflow/get-trace-artifact?request_id={trace['trace_id']}&path=" for api in ("3.0", "2.0")
    ]
    door.routes.update(zip(NAMES, routes, strict=True))
    folders = [root.removeprefix("mlflow-artifacts:/").strip("/") for root in roots]
    door.folders.update(zip(NAMES, folders, strict=True))
    yield door
    door.ask("DELETE", "/api/2.0/mlflow/registered-models/delete", json.dumps({"name": name}).encode())
    door.call("/api/2.0/mlflow/experiments/delete", experiment_id=experiment)
    for folder in set(folders):
        door.ask("DELETE", f"/api/2.0/{STORE}{folder}")
