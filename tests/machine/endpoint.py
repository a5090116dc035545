"""Helpers for served models: requests to them, and the aliases that select the served versions."""

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
    """The endpoint of a served model, with the login of one user. body: a valid scoring request."""

    machine: Machine
    user: str
    password: str
    body: dict[str, Any] = field(default_factory=dict)
    model: str = "fraud"

    def ask(self, path: str, body: Any = None) -> Answer:
        """Send a request to a path below /serving/; return the response."""
        login = {"user": self.user, "password": self.password}
        return self.machine.ask(f"/serving/{path}", method="GET" if body is None else "POST", body=body, **login)

    def version(self) -> str:
        """Return the version that responds, or "" if none responds in time, for example during loading."""
        try:
            answer = self.ask(f"{self.model}/ping")
        except OSError:
            return ""
        return str(answer.headers["X-Model-Version"]) if answer.status == 200 else ""

    def score(self) -> tuple[str, list[Any]]:
        """Send the scoring request; return the version that responds, and its scores."""
        answer = self.ask(f"{self.model}/invocations", self.body)
        assert answer.status == 200, answer.body
        return str(answer.headers["X-Model-Version"]), json.loads(answer.body)["predictions"]

    def wait(self, version: str, seconds: float = 120) -> float:
        """Wait until a version responds; return how many seconds it took."""
        return until(lambda: self.version() == version, seconds, f"version {version} does not answer")

    def serve(self, version: str, seconds: float = 120) -> list[Any]:
        """Move the alias to a version, and wait until the version responds; return its scores."""
        alias(self.machine, version, model=self.model)
        self.wait(version, seconds)
        return self.score()[1]


def until(condition: Callable[[], object], seconds: float, problem: str) -> float:
    """Wait until a condition is true; return how many seconds it took. problem: error message after the timeout."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, f"after {seconds} s {problem}"
        time.sleep(0.1)
    return time.monotonic() - start


def fraud(host: Host, *arguments: str) -> str:
    """Run the command `fraud` on the machine; return its output."""
    return str(host.check_output(f"fraud {shlex.join(arguments)}"))


def alias(machine: Machine, version: str, name: str = "champion", model: str = "fraud") -> None:
    """Point an alias to a version, with the API call of MLflow's UI."""
    body = {"name": model, "alias": name, "version": version}
    login = {"user": "admin", "password": machine.secret("admin_password")}
    answer = machine.ask("/api/2.0/mlflow/registered-models/alias", method="POST", body=body, **login)
    assert answer.status == 200, answer.body


def tag(machine: Machine, version: str, model: str = "fraud") -> str:
    """Return a version's tag `serving`: the time since which the version is served, or why it was refused."""
    login = {"user": "admin", "password": machine.secret("admin_password")}
    found = json.loads(machine.ask(f"/api/2.0/mlflow/model-versions/get?name={model}&version={version}", **login).body)
    return next((each["value"] for each in found["model_version"].get("tags", []) if each["key"] == "serving"), "")


# A program that requests a path at the socket of a served version, and prints the body of the response.
ASK = "import pathlib, sys; from trackbox_serving.follower.unix import ask; "
ASK += "print(ask(pathlib.Path(sys.argv[1]), sys.argv[2]).body.decode())"


def at_socket(host: Host, version: str, path: str) -> str:
    """Request a path at the socket of a version of `fraud`, without NGINX; return the body of the response."""
    socket = f"/run/trackbox-serving/fraud/{version}.sock"
    command = "cd /opt/trackbox/serving/program-*/ && python3 -B -c %s %s %s"
    return str(host.check_output(command, ASK, socket, path))


def metric(host: Host, version: str, name: str) -> float:
    """Return the sum of the values in all lines that begin with `name` in the metrics of a version of `fraud`."""
    lines = at_socket(host, version, "/metrics").splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


@pytest.fixture(scope="session")
def versions(machine: Machine, host: Host) -> list[str]:
    """Train and promote two versions of `fraud`; return their numbers. The second version is the champion."""
    found = []
    for recipe in ("logistic", "xgboost"):
        fraud(host, "train", "--quiet", "--data", "synthetic", "--models", recipe, "--json")
        said = json.loads(fraud(host, "promote", "--force", "--wait", "--json"))
        found.append(str(said["version"]))
    return found


@pytest.fixture(scope="session")
def endpoint(machine: Machine, versions: list[str]) -> Endpoint:
    """Return the endpoint of `fraud` with the admin's login, and with the model's example as its body."""
    found = Endpoint(machine, "admin", machine.secret("admin_password"))
    described = json.loads(found.ask("fraud/openapi.json").body)
    body = described["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"]
    found.body = body["example"]
    return found
