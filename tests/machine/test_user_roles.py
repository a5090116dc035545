"""An admin may do everything, a viewer may only read, and the log contains the user of each request."""

import json
import re
from ipaddress import ip_address
from pathlib import Path

import pytest
from machine import VIEWER, Machine
from testinfra.host import Host

# The last parts of the paths of MLflow's API calls that only read although they use POST.
READS = ("search", "search-datasets", "get-latest-versions", "batchGetInfos", "calculate-filter-correlation", "metrics")


@pytest.fixture(scope="module")
def routes(host: Host) -> list[tuple[str, str]]:
    """Return every method and path of the installed MLflow, with `x` for each parameter of a path."""
    script = Path(__file__).with_name("list_routes.py").read_text()
    found = json.loads(host.check_output("/opt/trackbox/mlflow/current/bin/python -c %s 2>/dev/null", script))
    assert len(found) > 400
    return sorted({(method, re.sub(r"<[^>]*>|{[^}]*}", "x", path)) for method, path in found if path})


def test_a_viewer_is_refused_every_call_that_writes_and_no_other(
    machine: Machine, viewer: dict[str, str], routes: list[tuple[str, str]]
) -> None:
    wrong, refused = [], 0
    for method, path in routes:
        reads = method == "GET" or path == "/graphql" or (method == "POST" and path.rsplit("/", 1)[-1] in READS)
        if "/mlflow/assistant" in path:
            continue  # NGINX refuses the assistant to all users
        answer = machine.ask(path, method=method, body=None if method == "GET" else {}, **viewer)
        denied = answer.status == 403 and b"PERMISSION_DENIED" in answer.body
        refused += denied
        if denied == reads:
            wrong.append((method, path, answer.status))
    assert wrong == []
    assert refused > 200


def test_a_wrong_password_does_not_reveal_a_viewer(machine: Machine, viewer: dict[str, str]) -> None:
    for user in (VIEWER["name"], "admin", "nobody-at-all"):
        answer = machine.ask("/api/2.0/mlflow/runs/create", method="POST", body={}, user=user, password="wrong")
        assert answer.status == 401


@pytest.mark.parametrize(
    "path",
    [
        "runs/search/../delete",
        "runs/search%2f..%2fdelete",
        "runs/./delete",
        "runs//delete",
        "runs/search%2f%2e%2e%2fdelete",
        "runs/delete%3f/search",
        "runs/delete%23/search",
        "runs/delete%00/search",
        "runs/delete;/search",
        "runs/delete%0a",
        "runs/Delete",
    ],
)
def test_no_spelling_of_a_path_lets_a_viewer_write(machine: Machine, viewer: dict[str, str], path: str) -> None:
    run = json.loads(
        machine.ask(
            "/api/2.0/mlflow/runs/create",
            method="POST",
            body={"experiment_id": "0"},
            user="admin",
            password=machine.secret("admin_password"),
        ).body
    )["run"]["info"]["run_id"]
    answer = machine.ask(f"/api/2.0/mlflow/{path}", method="POST", body={"run_id": run}, **viewer)
    assert answer.status in (400, 403, 404)
    after = machine.ask(f"/api/2.0/mlflow/runs/get?run_id={run}", **viewer)
    assert json.loads(after.body)["run"]["info"]["lifecycle_stage"] == "active"


def test_a_viewers_client_reads_and_gets_the_reason_of_a_refusal(machine: Machine, viewer: dict[str, str]) -> None:
    admin = json.loads(machine.run_client("client_mlflow.py").splitlines()[-1])
    login = {"MLFLOW_TRACKING_USERNAME": viewer["user"], "MLFLOW_TRACKING_PASSWORD": viewer["password"]}
    seen = json.loads(machine.run_client("client_viewer.py", admin["run"], **login).splitlines()[-1])
    assert seen["artifact"] == "an artifact"
    assert seen["metrics"] == {"Loss": 0.5, "loss": 0.25}
    assert "vera is a viewer here" in seen["refusal"]


def test_a_run_carries_the_name_of_its_user(machine: Machine) -> None:
    assert json.loads(machine.run_client("client_mlflow.py").splitlines()[-1])["user"] == "admin"


def test_the_log_has_user_request_and_source(machine: Machine, host: Host, viewer: dict[str, str]) -> None:
    path = "/api/2.0/mlflow/experiments/delete"
    machine.ask(f"{path}?token=geheim", method="POST", body={}, **viewer)
    machine.ask(path, method="POST", body={}, user="admin", password="wrong")
    lines = [json.loads(line) for line in host.file("/var/log/nginx/access.log").content_string.splitlines()[-40:]]
    found = [(line["user"], line["status"]) for line in lines if line.get("path") == path]
    assert found[-2:] == [(viewer["user"], 403), ("admin", 401)]
    for line in lines:
        ip_address(line["source"])
    assert "geheim" not in host.check_output("cat /var/log/nginx/access.log")
    file = host.file("/var/log/nginx/access.log")
    assert (file.mode, file.group) == (0o640, "adm")


def test_the_log_names_the_s3_user_and_no_signature(machine: Machine, host: Host) -> None:
    machine.run_client(
        "client_s3.py", "training", machine.secret("training_s3_secret"), "list_objects_v2 Bucket=datasets"
    )
    line = json.loads(host.check_output("grep s3_user /var/log/nginx/access.log | tail -1"))
    assert (line["s3_user"], line["path"], line["status"]) == ("training", "/datasets", 200)
    assert "Signature" not in json.dumps(line)
