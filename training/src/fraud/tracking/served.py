"""Wait until the endpoint of a registered model serves a version."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from urllib.parse import quote

import requests
from mlflow import MlflowClient
from requests.auth import HTTPBasicAuth

from fraud.errors import NotServedError
from fraud.settings import Settings
from fraud.tracking.registry import NAME, PREPARES, REFUSED, SERVING

#: The time limit, the time limit while packages of the version are installed, the pause between
#: requests, and the interval between reads of the tag `serving`, all in seconds.
LIMIT, PREPARING, PAUSE, LOOK = 180.0, 1800.0, 0.3, 2.0
REMEDIES = {
    401: "Check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
    403: "The user may not score: ask an admin.",
    404: f"Name {NAME} in serving_models and run site.yml, or leave --wait out.",
}


def version_served(settings: Settings) -> str | None:
    """The version that the endpoint serves, None if it serves none.

    Raises:
        NotServedError: the endpoint does not exist, or the user may not use it.

    """
    url = f"{settings.serving_url}/{quote(NAME, safe='')}/ping"
    user = os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    try:
        answer = requests.get(
            url,
            # Encode as UTF-8, as NGINX expects. For str, the package requests would use Latin-1.
            auth=HTTPBasicAuth(user.encode(), password.encode()) if user else None,
            verify=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True,
            timeout=5,
        )
    except requests.RequestException:
        return None
    if answer.status_code in REMEDIES:
        raise NotServedError(f"{url} answered {answer.status_code}", REMEDIES[answer.status_code])
    return answer.headers.get("X-Model-Version") if answer.status_code == 200 else None


def wait(
    settings: Settings,
    version: str,
    limit: float = LIMIT,
    preparing: float = PREPARING,
    say: Callable[[str], object] | None = None,
) -> float:
    """Wait until the endpoint serves a version.

    Args:
        settings: settings with the addresses of the servers.
        version: version of the model `NAME`.
        limit: time limit in seconds. It restarts when the version's packages are installed.
        preparing: time limit in seconds for the installation of packages that the version needs.
        say: function that is called with a message when such an installation begins; or None.

    Returns:
        The duration of the wait, in seconds.

    Raises:
        NotServedError: the version was refused, the endpoint does not exist, or the wait timed out.

    """
    client, start, looked = MlflowClient(settings.tracking_uri), time.monotonic(), 0.0
    end = start + limit
    while True:
        found = version_served(settings)
        if found == version:
            return time.monotonic() - start
        on = f"Version {found} is still served." if found else "No version is served."
        if time.monotonic() >= looked + LOOK:
            looked = time.monotonic()
            said = client.get_model_version(NAME, version).tags.get(SERVING, "")
            if said.startswith(REFUSED):
                raise NotServedError(f"Version {version} was {said}", on)
            if said.startswith(PREPARES) and looked < start + preparing:
                end = looked + limit
                if say:
                    say(f"Version {version} {said}. {on}")
                    say = None
        if time.monotonic() > end:
            raise NotServedError(
                f"Version {version} is not served after {time.monotonic() - start:.0f} s",
                f"{on} The page {settings.serving_url}/ gives the reason.",
            )
        time.sleep(PAUSE)
