"""Serve one version of a registered model on a Unix socket.

    python -m trackbox_serving.worker NAME VERSION

The socket is systemd's (LISTEN_FDS), so that requests wait in its queue while the unit starts or restarts; without one
it is RUN/NAME/VERSION.sock. The model is loaded and tried once, in gunicorn's parent, and the processes are forks of it
that share its memory. gunicorn tells systemd READY=1, replaces a process that dies or hangs, and passes SIGTERM on.

It needs no network, no secret, and can write to its folder of the log and to TMPDIR only.
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

# Set before the libraries are imported. One thread each, because OpenMP's threads do not survive a fork and the
# processes share the cores.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ARROW_NUM_THREADS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # MLflow has nothing to track here, and would create a database in the current directory.
    "MLFLOW_TRACKING_URI": "file:///nonexistent",
    # What MLflow's own scoring server sets.
    "_MLFLOW_IS_IN_SERVING_ENVIRONMENT": "true",
}
HANGS = 120  # seconds without a sign of the event loop, after which a process is replaced
STOPS = 60  # seconds that requests have at a stop


def options(bind: str, processes: int) -> dict[str, Any]:
    """Return gunicorn's settings. bind: a path of a Unix socket, which systemd's replaces."""
    from uvicorn_worker import UvicornWorker

    from trackbox_serving.web import metrics
    from trackbox_serving.web.draining import DrainingProtocol

    class ServingWorker(UvicornWorker):  # type: ignore[misc]
        CONFIG_KWARGS: dict[str, Any] = {  # noqa: RUF012 its base declares it so
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
        # Longer than NGINX keeps connections (60 s): the side that sends requests must close first.
        "keepalive": 75,
        "backlog": 4096,
        "child_exit": metrics.process_ended,
        "on_exit": remove_metrics,
        "control_socket_disable": True,
        "loglevel": "warning",
        "proc_name": "trackbox-serving",
    }


def load_service(name: str, version: str) -> Any:
    """Load a version; return its service. ModelError, OSError, ValueError: it cannot be served."""
    from trackbox_serving import settings as reading
    from trackbox_serving.log.writer import prepare
    from trackbox_serving.models.scorer import load
    from trackbox_serving.version import Version
    from trackbox_serving.web import metrics
    from trackbox_serving.web.service import Service

    settings = reading.load()
    place = Version(settings, name, version)
    about = place.read_about()
    if about.challenger:
        # The follower keeps its scores.
        settings = replace(settings, log="off", processes=1)
    if settings.log != "off":
        prepare(place.log)
    service = Service(settings, about, load(place.model, about.allow_code))
    service.warm_up()
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
            # Freeze objects so that the garbage collector never writes to, and so copies, pages that are shared.
            gc.collect()
            gc.freeze()
            return application

    Application().run()


def main() -> None:
    """Serve the version that the arguments name."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m trackbox_serving.worker NAME VERSION")
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="metrics-")
    from trackbox_serving.models.allowed import ModelError
    from trackbox_serving.settings import SettingsError

    # MLflow warns of columns that callers sent, by their names.
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    try:
        service = load_service(*sys.argv[1:])
    except (ModelError, SettingsError, OSError, ValueError) as error:
        remove_metrics()
        sys.exit(f"{sys.argv[1]} version {sys.argv[2]}: {error}")
    serve(service)


def remove_metrics(_: Any = None) -> None:
    """Remove the files of the metrics; in the parent only, because the processes share them."""
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)


if __name__ == "__main__":
    main()
