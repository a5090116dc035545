"""Check that the tracking server responds, and turn errors of its client into ServiceError."""

from __future__ import annotations

import os

import requests
from requests.auth import HTTPBasicAuth

from fraud.errors import ServiceError
from fraud.settings import Settings

PROBE = "/api/2.0/mlflow/experiments/search?max_results=1"
STATUS_REMEDY = {
    401: "Check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
    403: "The user lacks the right, or the server does not know this host name.",
    404: "MLFLOW_TRACKING_URI names a server that is no MLflow.",
}


def probe(settings: Settings, timeout: float = 10.0) -> None:
    """Send one request that needs the server's database. Commands do this before any work.

    Args:
        settings: settings with the tracking server's address.
        timeout: timeout of the request in seconds.

    Raises:
        ServiceError: no response within `timeout`, or a status other than 200.

    """
    if not settings.tracking_uri.startswith("http"):
        return
    where = f"The tracking server at {settings.tracking_uri}"
    user = os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    try:
        answer = requests.get(
            settings.tracking_uri + PROBE,
            # Encode as UTF-8, as NGINX expects. For str, the package requests would use Latin-1.
            auth=HTTPBasicAuth(user.encode(), password.encode()) if user else None,
            verify=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True,
            timeout=timeout,
        )
    except requests.exceptions.SSLError as error:
        raise ServiceError(
            f"{where} shows a certificate that is not trusted",
            "Set MLFLOW_TRACKING_SERVER_CERT_PATH to the installation's CA file.",
        ) from error
    except requests.RequestException as error:
        raise ServiceError(
            f"{where} was not reached", "Check MLFLOW_TRACKING_URI and that the server is up."
        ) from error
    if answer.status_code != 200:
        remedy = "Look at https://HOST/healthz and the server's log (journalctl -u mlflow)."
        raise ServiceError(
            f"{where} answered {answer.status_code}", STATUS_REMEDY.get(answer.status_code, remedy)
        )


def explain(error: Exception, tracking_uri: str) -> ServiceError:
    """Turn an error of MLflow's client into ServiceError."""
    said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return ServiceError(
        f"The tracking server at {tracking_uri} failed: {said}",
        "Look at https://HOST/healthz and the server's log (journalctl -u mlflow), then try again.",
    )
