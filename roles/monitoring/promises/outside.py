"""Promises (checks of verify.yml) about monitoring, from the controller."""

from __future__ import annotations

from collections.abc import Iterator

from network import ask
from promises import Facts, promise


@promise("monitoring")
def status_wants_password(its: Facts) -> Iterator[str]:
    """Monitoring shows the status only with a password."""
    files = ("", "index.html", "style.css", "status.json", "charts.js", "charts-1h.json", "dygraph.js")
    for path in ("/status", *(f"/status/{name}" for name in files)):
        status = ask(its, path).status
        if status != 401:
            yield f"{path} answers {status}"
