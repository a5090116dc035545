"""Promises (checks of verify.yml) about monitoring, from the controller."""

from __future__ import annotations

from collections.abc import Iterator

from network import ask
from promises import Facts, promise


@promise("monitoring")
def status_wants_password(its: Facts) -> Iterator[str]:
    """Monitoring shows the status only with a password."""
    for path in ("/status", "/status/", "/status/index.html", "/status/style.css", "/status/status.json"):
        status = ask(its, path).status
        if status != 401:
            yield f"{path} answers {status}"
