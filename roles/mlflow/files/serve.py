"""Run MLflow's server so that a restart fails no request, and so that its workers share memory and work.

It is the command `mlflow`, but that it takes the place of uvicorn, which would start each worker anew:

- systemd's sockets stay open while the server restarts, and requests wait in their queues;
- a worker is a fork of a parent that has imported MLflow: half the memory, and one that dies is replaced at once;
- each worker listens at the common address and at a socket of its own, by which NGINX gives work to who has the least:
  at one socket the worker that wakes up first takes every connection that is kept alive;
- large requests, which NGINX tells apart, have a worker of their own with a lower priority: while Python reads one,
  it answers nobody else;
- a stop takes leave: uvicorn would close connections on which a request may be on its way.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

LARGE = 10  # how much nicer the worker for large requests is to everything else
LEAVE = 0.5  # seconds that an idle connection may still bring a request after the stop
HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
FIRST = 3  # the first file descriptor of systemd's sockets
CONNECTIONS = 2  # to the database, that a request may need at a time


def become(command: Sequence[Any], *, extra_env: Mapping[str, str], **_: Any) -> NoReturn:
    """Take the place of MLflow's function that starts the server as a child: its last word is the application."""
    import shortcuts
    import signing
    from guard import Guard
    from limits import Limits, answer_memory_errors
    from mlflow.server import app
    from mlflow.server.handlers import _get_model_registry_store, _get_tracking_store
    from uvicorn.importer import import_from_string

    os.environ.update(extra_env)
    words = list(map(str, command))
    application = import_from_string(words[-1])
    lighten(application)
    for store in (_get_tracking_store(), _get_model_registry_store()):
        # MLflow's command has connected to the database: a connection is for one process.
        store.engine.dispose()
    common, *own = [socket.socket(fileno=FIRST + number) for number in range(int(os.environ["LISTEN_FDS"]))]
    take_leave()
    shortcuts.install()
    answer_memory_errors(app)
    signing.install()
    # What is there by now is garbage for nobody: its pages stay shared.
    gc.collect()
    gc.freeze()
    options = dict(pairwise(words))
    count = int(options["--workers"])

    def start(number: int) -> None:
        guarded, large = Guard(application, os.environ), number == count
        if large:
            os.nice(LARGE)
        sockets = own[number:] if large else [common, *own[number : number + 1]]
        limited = Limits(guarded, os.environ, at_once=1) if large else Limits(guarded, os.environ)
        work(limited, sockets, options.get("--log-config"))

    # Where NGINX is elsewhere, there is the common socket only.
    supervise(count + (len(own) > count), start)
    sys.exit()


def lighten(application: Any) -> None:
    """Take away the layers of workspaces and of the AI gateway, where these are off: they cost 0.5 ms a request."""
    from mlflow import environment_variables as variables
    from starlette.middleware.base import BaseHTTPMiddleware

    # An older MLflow, to which an upgrade goes back, has neither, and no such layer.
    switches = [getattr(variables, f"MLFLOW_ENABLE_{name}", None) for name in ("AI_GATEWAY", "WORKSPACES")]
    if all(switch is not None and not switch.get() for switch in switches):
        application.user_middleware = [one for one in application.user_middleware if one.cls is not BaseHTTPMiddleware]


def supervise(count: int, start: Callable[[int], None]) -> None:
    """Keep so many workers, numbered, until a signal says stop; return when all of them have ended."""
    workers: dict[int, int] = {}
    stopping = False
    # Signals come as bytes of a pipe, one after the other: none falls between a look and a wait.
    heard, says = os.pipe()
    os.set_blocking(says, False)
    signal.set_wakeup_fd(says)
    for one in HEARD:
        signal.signal(one, lambda *_: None)
    while workers or not stopping:
        for missing in () if stopping else sorted(set(range(count)) - set(workers.values())):
            # One that comes before the worker is one would be heard by its parent.
            signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
            process = os.fork()
            if not process:
                begin(missing, start)
            workers[process] = missing
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
        for number in os.read(heard, 1):
            if number == signal.SIGCHLD:
                bury(workers, stopping)
                continue
            stopping = True
            for process in workers:
                os.kill(process, number)


def bury(workers: dict[int, int], stopping: bool) -> None:
    """Take those that have ended off the list; one signal may stand for several."""
    while workers and (end := os.waitpid(-1, os.WNOHANG))[0]:
        ended, status = end
        print(
            f"worker {workers.pop(ended)} ended with {os.waitstatus_to_exitcode(status)}", file=sys.stderr, flush=True
        )
        # One that cannot start, for it has no database, does not start over and over without a pause.
        time.sleep(0 if stopping or os.WIFSIGNALED(status) else 1)


def begin(number: int, start: Callable[[int], None]) -> NoReturn:
    """Be a worker, and end as one."""
    signal.set_wakeup_fd(-1)
    for one in HEARD:
        signal.signal(one, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
    try:
        start(number)
    except BaseException as error:
        print(f"worker {number}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def work(application: Any, sockets: list[socket.socket], log_config: str | None) -> None:
    """Answer requests for the application. log_config: a file for uvicorn, if this version of MLflow has one."""
    import uvicorn
    from anyio.to_thread import current_default_thread_limiter
    from mlflow.environment_variables import MLFLOW_SQLALCHEMYSTORE_POOL_SIZE

    class Server(uvicorn.Server):  # type: ignore[misc]
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            # More threads would wait for each other, and make connections that the pool throws away again.
            current_default_thread_limiter().total_tokens = MLFLOW_SQLALCHEMYSTORE_POOL_SIZE.get() // CONNECTIONS
            await super().startup(sockets)

    config = uvicorn.Config(
        application,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        log_config=log_config or uvicorn.config.LOGGING_CONFIG,
        # NGINX writes one, with names.
        access_log=False,
        # Whoever reaches these sockets is NGINX, or may do worse.
        forwarded_allow_ips="*",
        # As mlflow.socket has it: to listen again sets it anew.
        backlog=4096,
        # Longer than NGINX, which keeps connections for 60 s: the side that sends closes them.
        timeout_keep_alive=75,
    )
    Server(config).run(sockets)


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
    sys.path.insert(0, str(Path(__file__).parent))
    mlflow.server._exec_cmd = become

    from mlflow.cli import cli

    cli()
