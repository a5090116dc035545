"""The promises (checks of verify.yml) about access through NGINX: passwords, redirects and refused requests."""

from __future__ import annotations

from collections.abc import Iterator

from network import ask, open_ports
from promises import Facts, Off, promise

# Paths that need a password: pages, both APIs, MinIO's console, and spellings that a proxy might read as another path.
PATHS = [
    "/",
    "/health",
    "/version",
    "/static-files/index.html",
    "/api/2.0/mlflow/experiments/search?max_results=1",
    "/ajax-api/2.0/mlflow/experiments/search?max_results=1",
    "/ajax-api/3.0/mlflow/assistant/providers",
    "/api/2.0/mlflow-artifacts/artifacts",
    "/get-artifact?path=x&run_uuid=x",
    "/model-versions/get-artifact?path=x&name=x&version=1",
    "/graphql",
    "/gateway/",
    "/v1/traces",
    "/metrics",
    "/minio/",
    "/minio/ws/objectManager",
    "/minio/api/v1/session",
    "/healthz/",
    "/healthz/../",
    "/healthz/..%2f",
    "//",
    "/./",
    "/%2e/",
    "/%2fapi/2.0/mlflow/experiments/search",
    "/API/2.0/mlflow/experiments/search",
    "/static-files/..;/",
    "/nothing",
]
ASSISTANT = "/ajax-api/3.0/mlflow/assistant/providers"


def admin(its: Facts) -> tuple[str, str]:
    """Return name and password of the first admin."""
    user = next(user for user in its["users"] if user.get("role", "admin") == "admin")
    return user["name"], user["password"]


@promise("nginx")
def door_wants_password(its: Facts) -> Iterator[str]:
    """NGINX refuses every request without a password."""
    for path in PATHS:
        status = ask(its, path).status
        if status not in (400, 401, 404) or (status == 404 and path == "/"):
            yield f"{path} answers {status}"


@promise("nginx")
def door_refuses_wrong_passwords(its: Facts) -> Iterator[str]:
    """NGINX refuses a wrong password, an empty one, and an unknown user."""
    name, _ = admin(its)
    for user in (
        (name, "wrong password"),
        (name, ""),
        (name, name),
        ("nobody-of-that-name", "wrong password"),
        ("", ""),
    ):
        status = ask(its, "/", user=user).status
        if status != 401:
            yield f"{user[0] or 'no name'} with {'an empty' if not user[1] else 'a wrong'} password gets {status}"


@promise("nginx")
def door_opens_to_its_users(its: Facts) -> Iterator[str]:
    """NGINX accepts each user with the right password, and each token."""
    for user in its["users"]:
        status = ask(its, "/", user=(user["name"], user["password"])).status
        if status != 200:
            yield f"{user['name']} gets {status}"
    for token in its["tokens"]:
        if ask(its, "/", Authorization=f"Bearer {token['token']}").status == 401:
            yield f"the token {token['name']} gets 401"


@promise("nginx")
def http_redirects(its: Facts) -> Iterator[str]:
    """NGINX redirects HTTP to HTTPS, and serves nothing else over HTTP."""
    if its["tls"] == "off":
        raise Off("nginx_tls is off")
    for path in ("/", "/some/page?x=1"):
        answer = ask(its, path, url=f"http://{its['host']}:{its['ports'][0]}")
        if (answer.status, answer.headers.get("location")) != (301, its["url"] + path):
            yield f"{path} answers {answer.status}, Location {answer.headers.get('location')}"


@promise("nginx")
def assistant_refused(its: Facts) -> Iterator[str]:
    """NGINX refuses everybody the use of MLflow's assistant, which can run commands."""
    for path in (ASSISTANT, ASSISTANT.replace("ajax-api", "api"), ASSISTANT.replace("assistant", "Assistant")):
        status = ask(its, path, user=admin(its)).status
        if status != 403:
            yield f"{path} answers {status}"


@promise("nginx")
def host_forged_refused(its: Facts) -> Iterator[str]:
    """MLflow refuses a request for another host name, even with the right password."""
    status = ask(its, "/api/2.0/mlflow/experiments/search?max_results=1", user=admin(its), Host="evil.example").status
    if status < 400:
        yield f"evil.example gets {status}"


@promise("nginx")
def ready_without_detail(its: Facts) -> Iterator[str]:
    """NGINX reports at /healthz only that the services are ready."""
    answer = ask(its, "/healthz")
    if (answer.status, answer.body) != (200, b""):
        yield f"it answers {answer.status} and {len(answer.body)} bytes"


@promise("nginx")
def versions_untold(its: Facts) -> Iterator[str]:
    """NGINX does not reveal the versions of programs."""
    for path, url in (("/", ""), ("/healthz", ""), ("/", its["s3_url"])):
        headers = ask(its, path, url=url).headers
        for name in ("server", "x-powered-by", "via"):
            if any(letter.isdigit() for letter in headers.get(name, "")):
                yield f"{name} says {headers[name]}"


@promise("nginx")
def door_open(its: Facts) -> Iterator[str]:
    """NGINX's ports are reachable from outside."""
    answering = open_ports(its["host"], its["ports"])
    yield from (f"port {port} does not answer" for port in its["ports"] if port not in answering)
