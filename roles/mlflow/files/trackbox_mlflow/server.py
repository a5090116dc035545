"""Run MLflow's server so that a restart fails no request, and so that its workers share memory and load.

    python -m trackbox_mlflow.server OPTIONS      OPTIONS are those of `mlflow server`; systemd passes the sockets

This is the command `mlflow server`, but it replaces the start of uvicorn:

- systemd's sockets stay open while the server restarts, and requests wait in their queues.
- A worker is a fork of a parent that has imported MLflow. This halves the memory, and a worker that dies is replaced
  at once.
- Each worker listens at the common address and at a socket of its own. With the workers' own sockets, NGINX can choose
  the worker with the fewest requests. At a common socket, the worker that wakes up first would take every kept-alive
  connection.
- NGINX sends large requests to a separate worker with a lower priority, because a worker answers nothing else while
  Python parses a large request.
- When the server stops, it drains connections (draining.py).
"""

from __future__ import annotations

import gc
import importlib
import os
import socket
import sys
import weakref
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NoReturn

from trackbox_mlflow import chart, metrics, patches, search, signing
from trackbox_mlflow.asgi import wrap
from trackbox_mlflow.asgi.limits import Limits, answer_memory_errors
from trackbox_mlflow.draining import drain_connections
from trackbox_mlflow.supervisor import supervise

# The first file descriptor of systemd's sockets.
FIRST_FD = 3
# The nice value of the worker for large requests, which gives it a lower priority.
LARGE_NICE = 10
# The middlewares of MLflow's application that drop_unused_middleware may remove.
UNUSED_LAYERS = ("workspace_context_middleware", "gateway_timing_middleware")
APPLICATION = "mlflow.server.fastapi_app:app"

engines: weakref.WeakSet[Any] = weakref.WeakSet()


def track_engines() -> None:
    """Record every SQLAlchemy engine that connects, so that serve() can close its connections."""
    from sqlalchemy import Engine, event

    event.listen(Engine, "engine_connect", lambda connection: engines.add(connection.engine))


def replace_server(command: Sequence[Any], *, extra_env: Mapping[str, str], **_: Any) -> NoReturn:
    """Run this server in place of MLflow's `_exec_cmd`, which would start uvicorn by `command`.

    The last word of `command` names the application.
    """
    os.environ.update(extra_env)
    words = list(map(str, command))
    options = dict(pairwise(words))
    serve(words[-1], int(options["--workers"]), options.get("--log-config"))


def serve_without_command(arguments: Sequence[str]) -> NoReturn:
    """Serve without the command `mlflow server`, if its start of uvicorn cannot be replaced.

    MLflow's application then reads its settings from the environment.
    """
    import mlflow.server as names
    from mlflow.server.handlers import initialize_backend_stores

    uri, destination = os.environ["MLFLOW_BACKEND_STORE_URI"], os.environ["MLFLOW_ARTIFACTS_DESTINATION"]
    os.environ |= {
        names.BACKEND_STORE_URI_ENV_VAR: uri,
        names.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
        names.ARTIFACTS_DESTINATION_ENV_VAR: destination,
        names.SERVE_ARTIFACTS_ENV_VAR: "true",
    }
    initialize_backend_stores(uri, uri, "mlflow-artifacts:/")
    serve(APPLICATION, int(dict(pairwise(arguments)).get("--workers", 2)), None)


def serve(application_name: str, workers: int, log_config: str | None) -> NoReturn:
    """Serve MLflow's application with this number of workers, and one for large requests if it has a socket."""
    from mlflow.server import app

    module, _, attribute = application_name.partition(":")
    application = getattr(importlib.import_module(module), attribute)
    drop_unused_middleware(application)
    # MLflow's command has connected to the database. Close its connections, because forks must not share one.
    for engine in list(engines):
        engine.dispose()
    common, *own = [socket.socket(fileno=FIRST_FD + number) for number in range(int(os.environ["LISTEN_FDS"]))]
    search.install()
    chart.install()
    metrics.install()
    signing.install()
    answer_memory_errors(app)
    protocol, wrapped = drain_connections(), wrap(application, os.environ)
    # Exclude the objects that exist now from garbage collection. After the fork, all workers share the memory of these
    # objects. A garbage collector writes to the objects that it checks, so each worker would get a copy of its own.
    gc.collect()
    gc.freeze()

    def run(number: int) -> None:
        large = number == workers
        if large:
            os.nice(LARGE_NICE)
        sockets = own[number:] if large else [common, *own[number : number + 1]]
        limited = Limits(wrapped, int(os.environ["TRACKBOX_MAX_REQUEST"]), at_once=1 if large else 0)
        answer_requests(limited, sockets, protocol, log_config)

    # Start the worker for large requests only if it has a socket. Without NGINX here, only the common socket exists.
    supervise(workers + (len(own) > workers), run)
    sys.exit()


def drop_unused_middleware(application: Any) -> None:
    """Remove MLflow's middlewares for workspaces and for the AI gateway if both features are off."""
    if not (found := patches.UNUSED_MIDDLEWARE.get()):
        return
    *switches, layer = found
    if not any(switch.get() for switch in switches):
        application.user_middleware = [
            one
            for one in application.user_middleware
            if one.cls is not layer or getattr(one.kwargs.get("dispatch"), "__name__", "") not in UNUSED_LAYERS
        ]


def answer_requests(application: Any, sockets: list[socket.socket], protocol: Any, log_config: str | None) -> None:
    """Serve requests until a signal. log_config: a file with logging settings; None: uvicorn's own settings."""
    import uvicorn

    config = uvicorn.Config(
        application,
        loop="uvloop",
        http=protocol,
        lifespan="on",
        log_config=log_config or uvicorn.config.LOGGING_CONFIG,
        # Write no access log, because NGINX writes one, with users' names.
        access_log=False,
        # Only NGINX and root can open these sockets, so X-Forwarded-For is trusted.
        forwarded_allow_ips="*",
        # The same backlog as in mlflow.socket, because uvicorn calls listen(2) again.
        backlog=4096,
        # Keep idle connections longer than NGINX (60 s), because the side that sends requests must close first.
        timeout_keep_alive=75,
    )
    uvicorn.Server(config).run(sockets)


def main() -> None:
    """Run the command `mlflow server`, which then calls `replace_server`."""
    track_engines()
    if patches.PREFORK.get():
        import mlflow.server
        from mlflow.cli import cli

        mlflow.server._exec_cmd = replace_server
        cli(["server", *sys.argv[1:]])
    serve_without_command(sys.argv[1:])


if __name__ == "__main__":
    main()
