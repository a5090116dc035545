"""Print every route of the MLflow server installed on this machine, as JSON: a list of method and path.

This script must run with the Python of the MLflow server.
"""

import json
import os
from typing import Any

os.environ["MLFLOW_BACKEND_STORE_URI"] = "sqlite://"

from mlflow.server import app as flask_app
from mlflow.server.fastapi_app import app as fastapi_app

AUTOMATIC = {"HEAD", "OPTIONS"}


def fastapi_routes(routes: list[Any], prefix: str = "") -> set[tuple[str, str]]:
    """Return the routes of a FastAPI application, those of its routers included."""
    found = set()
    for route in routes:
        path = prefix + getattr(route, "path", "")
        found |= {(method, path) for method in (getattr(route, "methods", None) or set()) - AUTOMATIC}
        router = getattr(route, "original_router", None) or getattr(route, "router", None)
        if router is not None:
            found |= fastapi_routes(router.routes, prefix)
    return found


found = {(method, rule.rule) for rule in flask_app.url_map.iter_rules() for method in rule.methods - AUTOMATIC}
print(json.dumps(sorted(found | fastapi_routes(fastapi_app.routes))))
