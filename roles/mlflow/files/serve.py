"""Run MLflow's server so that a restart fails no request.

As a command it is `mlflow`, but that uvicorn takes the process over instead of becoming its child, which would inherit
nothing: systemd's socket, file descriptor 3, stays open while the server restarts, and requests wait in its queue. As a
module it is MLflow's application, behind guard.py, with a uvicorn that takes its leave: at a stop it would close
connections on which a request may be on its way.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

APPLICATION = "TRACKBOX_APPLICATION"
LEAVE = 0.5  # seconds that an idle connection may still bring a request after the stop


def become(command: Sequence[Any], *, extra_env: Mapping[str, str], **_: Any) -> NoReturn:
    """Take the place of MLflow's function that starts the server as a child: its last word is the application."""
    *words, application = map(str, command)
    words += ["--app-dir", str(Path(__file__).parent), f"{Path(__file__).stem}:app"]
    os.execvpe(words[0], words, {**os.environ, **extra_env, APPLICATION: application})


def take_leave() -> None:
    """Let each connection end with an answer that says so, and an idle one a little later."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    close, start = HttpToolsProtocol.shutdown, HttpToolsProtocol.on_headers_complete

    def last(cycle: Any) -> None:
        cycle.keep_alive = False
        cycle.scope["headers"].append((b"connection", b"close"))

    def shutdown(self: Any) -> None:
        self.leaving = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(LEAVE, close, self)
        elif self.cycle.response_started:
            # Its headers have promised that the connection stays.
            self.loop.call_later(LEAVE, shutdown, self)
        else:
            last(self.cycle)

    def on_headers_complete(self: Any) -> None:
        start(self)
        if getattr(self, "leaving", False) and self.cycle is not None:
            last(self.cycle)

    HttpToolsProtocol.shutdown, HttpToolsProtocol.on_headers_complete = shutdown, on_headers_complete


if __name__ == "__main__":
    import mlflow.server

    # Where it is gone, MLflow would serve on a socket of its own, and fail: systemd has the port.
    if not hasattr(mlflow.server, "_exec_cmd"):
        sys.exit("This version of MLflow starts its server in a way that files/serve.py does not know.")
    mlflow.server._exec_cmd = become

    from mlflow.cli import cli

    cli()
else:
    from guard import Guard
    from mlflow.server.handlers import _get_model_registry_store, _get_tracking_store
    from uvicorn.importer import import_from_string

    take_leave()
    # MLflow makes them with the first request, and holds that up for two minutes where the database is away.
    _get_tracking_store()
    _get_model_registry_store()
    app = Guard(import_from_string(os.environ[APPLICATION]), os.environ)
