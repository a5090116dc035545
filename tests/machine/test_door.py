"""NGINX asks for a password on every path except /healthz. The installation's own authority signs the certificate."""

import ssl

import pytest
from machine import Machine
from testinfra.host import Host

PATHS = [
    "/",
    "/health",
    "/version",
    "/static-files/index.html",
    "/api/2.0/mlflow/experiments/search?max_results=1",
    "/ajax-api/2.0/mlflow/experiments/search?max_results=1",
    "/ajax-api/3.0/mlflow/assistant/providers",
    "/graphql",
    "/minio/",
    "/minio/ws/objectManager",
    "/healthz/",
    "/healthz/../",
    "/-/mlflow",
    "/nothing",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_request_without_a_password_is_refused(machine: Machine, path: str) -> None:
    answer = machine.ask(path)
    assert answer.status in (401, 404) if path == "/-/mlflow" else answer.status == 401


def test_a_wrong_password_is_refused(machine: Machine) -> None:
    assert machine.ask("/", user="admin", password="admin").status == 401


@pytest.mark.parametrize("user", ["admin", "training"])
def test_a_user_with_the_password_is_accepted(machine: Machine, user: str) -> None:
    answer = machine.ask("/", user=user, password=machine.secret(f"{user}_password"))
    assert answer.status == 200
    assert b"MLflow" in answer.body


def test_requests_to_the_assistant_are_refused_to_everybody(machine: Machine) -> None:
    path = "/ajax-api/3.0/mlflow/assistant/providers"
    assert machine.ask(path, user="admin", password=machine.secret("admin_password")).status == 403


def test_the_console_answers_behind_the_password(machine: Machine) -> None:
    answer = machine.ask("/minio/", user="admin", password=machine.secret("admin_password"))
    assert answer.status == 200
    assert b"/minio/" in answer.body


def test_http_redirects_to_https(machine: Machine) -> None:
    answer = machine.ask("/some/page?x=1", url=f"http://{machine.address}")
    assert (answer.status, answer.headers["Location"]) == (301, f"{machine.url}/some/page?x=1")


def test_the_installations_own_authority_signed_the_certificate(machine: Machine) -> None:
    assert machine.ask("/healthz").status == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.get_server_certificate((machine.address, 443), ca_certs=ssl.get_default_verify_paths().cafile, timeout=5)


def test_healthz_reveals_nothing_else(machine: Machine) -> None:
    answer = machine.ask("/healthz")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("service", ["mlflow", "minio", "mysql"])
def test_healthz_fails_without_a_service(machine: Machine, host: Host, service: str) -> None:
    if service == "mysql" and not host.service("mysql").is_running:
        service = "mariadb"
    try:
        # Stop the socket too, because the next request to mlflow.socket would start MLflow again.
        host.check_output(f"systemctl stop {'mlflow.socket ' if service == 'mlflow' else ''}{service}")
        machine.wait_for_health(503, 30)
        answer = machine.ask("/healthz")
        assert (answer.status, answer.body) == (503, b"not ready\n")
        assert int(answer.headers["Retry-After"]) > 0
    finally:
        host.check_output(f"systemctl start {service}")
    machine.wait_for_health(200, 60)


def test_the_administration_of_minio_is_not_on_the_network(machine: Machine) -> None:
    for path in ("/minio/admin/v3/info", "/minio/health/live", "/minio/v2/metrics/cluster"):
        assert machine.ask(path, url=machine.settings["AWS_ENDPOINT_URL_S3"]).status == 403
