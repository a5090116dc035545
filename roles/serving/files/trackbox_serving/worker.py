"""Serve one version of a registered model on a Unix socket.

    python -m trackbox_serving.worker NAME VERSION

systemd passes the socket (LISTEN_FDS), so requests wait in its queue while the unit starts or restarts. Without systemd
the socket is RUN/NAME/VERSION.sock. gunicorn's parent process loads and tests the model once. The worker processes are
its forks and share its memory. gunicorn sends READY=1 to systemd, replaces a process that dies or hangs, and passes
SIGTERM to the processes.

A worker needs no network and no secrets. It can write only to its log folder and to TMPDIR.
"""

from __future__ import annotations

import gc
import logging
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from typing import Any

# Variables that are set before libraries are imported. Each library uses one thread, because OpenMP's threads do not
# survive a fork, and because the processes share the cores.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ARROW_NUM_THREADS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # MLflow tracks nothing here. Without this URI it would create a database in the current directory.
    "MLFLOW_TRACKING_URI": "file:///nonexistent",
    # MLflow's own scoring server sets this variable, too.
    "_MLFLOW_IS_IN_SERVING_ENVIRONMENT": "true",
}
# HANGS: seconds without a heartbeat of the event loop, after which gunicorn replaces a process.
# STOPS: seconds that the current requests may take during a stop.
HANGS = 120
STOPS = 60


def options(bind: str, processes: int) -> dict[str, Any]:
    """Return gunicorn's settings. `bind` is the path of the Unix socket, unless systemd passes a socket."""
    from uvicorn_worker import UvicornWorker

    from trackbox_serving.web import metrics
    from trackbox_serving.web.draining import DrainingProtocol

    class ServingWorker(UvicornWorker):  # type: ignore[misc]
        CONFIG_KWARGS: dict[str, Any] = {  # noqa: RUF012 - the base class declares it like this
            "loop": "uvloop",
            "http": DrainingProtocol,
            "lifespan": "on",
            "access_log": False,
            "server_header": False,
        }

    return {
        "bind": f"unix:{bind}",
        "workers": processes,
        "worker_class": ServingWorker,
        "preload_app": True,
        "timeout": HANGS,
        "graceful_timeout": STOPS,
        # Keep idle connections longer than NGINX (60 s), because the client must be the first to close a connection.
        "keepalive": 75,
        "backlog": 4096,
        "child_exit": metrics.process_ended,
        "on_exit": remove_metrics,
        "control_socket_disable": True,
        "loglevel": "warning",
        "proc_name": "trackbox-serving",
    }


def load_service(name: str, version: str, writes_log: bool = True) -> Any:
    """Load a version, and return its service. Raise ModelError, OSError or ValueError if it cannot be served."""
    from trackbox_serving import settings as reading
    from trackbox_serving.drift import counting
    from trackbox_serving.log.writer import prepare
    from trackbox_serving.models.scorer import load
    from trackbox_serving.version import Version
    from trackbox_serving.web import metrics
    from trackbox_serving.web.service import Service

    settings = reading.load()
    place = Version(settings, name, version)
    about = place.read_about()
    if about.challenger:
        # A challenger writes no log, because the follower stores its scores.
        settings = replace(settings, log="off", processes=1)
    if not writes_log:
        settings = replace(settings, log="off")
    if settings.log != "off":
        prepare(place.log)
    service = Service(settings, about, load(place.model, about.allow_code))
    service.warm_up()
    if not about.challenger:
        columns = service.scorer.columns
        service.counts = counting.load(place.model, columns, about.threshold, settings.processes)
    metrics.describe(about.name, about.version, about.alias, about.run_id)
    return service


def serve(service: Any) -> None:
    """Serve until SIGTERM."""
    from gunicorn.app.base import BaseApplication

    from trackbox_serving.version import Version
    from trackbox_serving.web.application import create

    place = Version(service.settings, service.about.name, service.about.version)
    if "LISTEN_FDS" not in os.environ:
        place.socket.parent.mkdir(parents=True, exist_ok=True)
    given = options(str(place.socket), service.settings.processes)

    class Application(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            for key, value in given.items():
                self.cfg.set(key, value)

        def load(self) -> Any:
            application = create(service)
            # Exclude the objects that exist now from garbage collection. The worker processes share their memory, and a
            # garbage collector, which writes to the objects that it checks, would copy this memory for each process.
            gc.collect()
            gc.freeze()
            return application

    Application().run()


def main() -> None:
    """Serve the version that the arguments name."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m trackbox_serving.worker NAME VERSION")
    serve(load_or_exit(sys.argv[1], sys.argv[2]))


def load_or_exit(name: str, version: str, writes_log: bool = True) -> Any:
    """Load a version, and return its service. Exit with a message if it cannot be served."""
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="metrics-")
    from trackbox_serving.models.allowed import ModelError
    from trackbox_serving.settings import SettingsError

    # Suppress MLflow's warnings, because they contain column names that callers sent.
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    try:
        return load_service(name, version, writes_log)
    except (ModelError, SettingsError, OSError, ValueError) as error:
        remove_metrics()
        sys.exit(f"{name} version {version}: {error}")


def remove_metrics(_: Any = None) -> None:
    """Remove the metrics' files. Only the parent calls this function, because all processes share the files."""
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)


if __name__ == "__main__":
    main()
