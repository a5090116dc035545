"""Served models, as their clients reach them, and the aliases that decide which versions answer."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from machine import Answer, Machine
from testinfra.host import Host


@dataclass
class Endpoint:
    """A served model, as one user reaches it. body: of a request that it answers."""

    machine: Machine
    user: str
    password: str
    body: dict[str, Any] = field(default_factory=dict)
    model: str = "fraud"

    def ask(self, path: str, body: Any = None) -> Answer:
        """Send a request to /serving/; return the answer."""
        login = {"user": self.user, "password": self.password}
        return self.machine.ask(f"/serving/{path}", method="GET" if body is None else "POST", body=body, **login)

    def version(self) -> str:
        """Return the version that answers; empty where none does, or not within some seconds: it may be loading."""
        try:
            answer = self.ask(f"{self.model}/ping")
        except OSError:
            return ""
        return str(answer.headers["X-Model-Version"]) if answer.status == 200 else ""

    def score(self) -> tuple[str, list[Any]]:
        """Return the version that scores, and its scores."""
        answer = self.ask(f"{self.model}/invocations", self.body)
        assert answer.status == 200, answer.body
        return str(answer.headers["X-Model-Version"]), json.loads(answer.body)["predictions"]

    def wait(self, version: str, seconds: float = 120) -> float:
        """Wait until a version answers; return the seconds."""
        return until(lambda: self.version() == version, seconds, f"version {version} does not answer")

    def serve(self, version: str, seconds: float = 120) -> list[Any]:
        """Move the alias to a version and wait until it answers; return its scores."""
        alias(self.machine, version, model=self.model)
        self.wait(version, seconds)
        return self.score()[1]


def until(condition: Callable[[], object], seconds: float, problem: str) -> float:
    """Wait until something holds; return the seconds. problem: what is wrong if it does not hold in time."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, f"after {seconds} s {problem}"
        time.sleep(0.1)
    return time.monotonic() - start


def fraud(host: Host, *arguments: str) -> str:
    """Run `fraud` on the machine; return what it printed."""
    return str(host.check_output(f"fraud {shlex.join(arguments)}"))


def alias(machine: Machine, version: str, name: str = "champion", model: str = "fraud") -> None:
    """Let the alias name a version, as MLflow's pages do."""
    body = {"name": model, "alias": name, "version": version}
    login = {"user": "admin", "password": machine.secret("admin_password")}
    answer = machine.ask("/api/2.0/mlflow/registered-models/alias", method="POST", body=body, **login)
    assert answer.status == 200, answer.body


def tag(machine: Machine, version: str, model: str = "fraud") -> str:
    """Return what serving said of a version."""
    login = {"user": "admin", "password": machine.secret("admin_password")}
    found = json.loads(machine.ask(f"/api/2.0/mlflow/model-versions/get?name={model}&version={version}", **login).body)
    return next((each["value"] for each in found["model_version"].get("tags", []) if each["key"] == "serving"), "")


# Prints the metrics that a version shows at its socket.
METRICS = "import pathlib, sys; from trackbox_serving.follower.unix import ask; "
METRICS += "print(ask(pathlib.Path(sys.argv[1]), '/metrics').body.decode())"


def metric(host: Host, version: str, name: str) -> float:
    """Return the sum of a metric of a version of `fraud`: of all lines that begin with its name."""
    socket = f"/run/trackbox-serving/fraud/{version}.sock"
    text = host.check_output("cd /opt/trackbox/serving/program-*/ && python3 -B -c %s %s", METRICS, socket)
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


@pytest.fixture(scope="session")
def versions(machine: Machine, host: Host) -> list[str]:
    """Return two versions of `fraud`, of which the second is the champion."""
    found = []
    for recipe in ("logistic", "xgboost"):
        fraud(host, "train", "--quiet", "--data", "synthetic", "--models", recipe, "--json")
        said = json.loads(fraud(host, "promote", "--force", "--wait", "--json"))
        found.append(str(said["version"]))
    return found


@pytest.fixture(scope="session")
def endpoint(machine: Machine, versions: list[str]) -> Endpoint:
    """Return the endpoint of `fraud` for an admin, with the example of the model as a request."""
    found = Endpoint(machine, "admin", machine.secret("admin_password"))
    described = json.loads(found.ask("fraud/openapi.json").body)
    body = described["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"]
    found.body = body["example"]
    return found
