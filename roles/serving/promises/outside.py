"""Promises of serving that are checked through NGINX: who may score, and what the follower's account may do."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from network import ask
from promises import Facts, promise


@promise("serving")
def scoring_wants_password(its: Facts) -> Iterator[str]:
    """Serving answers nobody without a password."""
    paths = ["/serving/", "/serving/v2", "/serving/v2/models/x/infer"]
    paths += [
        f"/serving/{quote(name, safe='')}/{path}"
        for name in its["models"]
        for path in ("ping", "invocations", "feedback")
    ]
    for path in paths:
        status = ask(its, path).status
        if status != 401:
            yield f"{path} answers {status}"


@promise("serving")
def scoring_metrics_hidden(its: Facts) -> Iterator[str]:
    """Serving's metrics are not for the world, with a password neither."""
    for name in its["models"]:
        status = ask(its, f"/serving/{quote(name, safe='')}/metrics", user=tuple(its["login"])).status
        if status != 404:
            yield f"/serving/{name}/metrics answers {status}"


@promise("serving")
def follower_only_reads(its: Facts) -> Iterator[str]:
    """Serving's account at the front door may read, and set tags of versions, and nothing else."""
    user = tuple(its["login"])
    status = ask(its, "/api/2.0/mlflow/experiments/search?max_results=1", user=user).status
    if status != 200:
        yield f"it may not read: {status}"
    calls = ("runs/create", "registered-models/create", "registered-models/alias", "model-versions/create")
    paths = [f"/api/2.0/mlflow/{call}" for call in calls]
    for path in paths + [f"/serving/{quote(name, safe='')}/feedback" for name in its["models"]]:
        status = ask(its, path, user=user, method="POST").status
        if status != 403:
            yield f"{path} answers {status}"
