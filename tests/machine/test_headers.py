"""Headers for browsers, and responses while a service is stopped."""

import json

import pytest
from machine import Machine
from testinfra.host import Host

ONCE = ["Content-Security-Policy", "Permissions-Policy", "Referrer-Policy", "Strict-Transport-Security"]
ONCE += ["X-Content-Type-Options", "X-Frame-Options"]


@pytest.mark.parametrize("path", ["/", "/version", "/minio/", "/static-files/index.html", "/nothing"])
@pytest.mark.parametrize("name", ONCE)
def test_a_header_is_sent_once(machine: Machine, path: str, name: str) -> None:
    answer = machine.ask(path, user="admin", password=machine.secret("admin_password"))
    assert len(answer.headers.get_all(name, [])) == 1


def test_an_artifact_opened_by_itself_runs_no_script(machine: Machine) -> None:
    for path in ("/get-artifact?path=x&run_id=x", "/api/2.0/mlflow-artifacts/artifacts/x"):
        answer = machine.ask(path, user="admin", password=machine.secret("admin_password"))
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("sandbox; default-src 'none'")
        assert "script" not in policy


def test_no_answer_names_a_version(machine: Machine) -> None:
    for port, path in ((443, "/"), (9443, "/"), (443, "/nothing")):
        assert machine.ask(path, url=f"https://{machine.address}:{port}").headers["Server"] == "nginx"


def test_a_client_gets_a_quick_answer_while_a_service_is_stopped(machine: Machine, host: Host) -> None:
    admin = {"user": "admin", "password": machine.secret("admin_password")}
    for service, path, url in (("mlflow", "/version", machine.url), ("minio", "/datasets", f"{machine.url}:9443")):
        # Stop the socket too, because requests to a running mlflow.socket wait for MLflow.
        units = "mlflow.socket mlflow" if service == "mlflow" else service
        try:
            host.check_output(f"systemctl stop {units}")
            answer = machine.ask(path, url=url, **admin)
            assert (answer.status, answer.headers["Retry-After"]) == (503, "3")
            assert b"it may be starting" in answer.body
            if service == "mlflow":
                # NGINX serves the UI's files itself, so they are available without MLflow.
                assert machine.ask("/static-files/index.html", **admin).status == 200
                assert json.loads(answer.body)["error_code"] == "TEMPORARILY_UNAVAILABLE"
        finally:
            host.check_output(f"systemctl start {units}")
    machine.wait_for_health(200, 60)
