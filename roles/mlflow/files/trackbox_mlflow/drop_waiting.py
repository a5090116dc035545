"""Close queued connections once the server has been down for SECONDS.

    python3 -m trackbox_mlflow.drop_waiting READY SECONDS      with systemd's sockets

systemd holds MLflow's addresses open while MLflow restarts, and requests wait there. Each start of MLflow makes the
file READY. After READY has been missing for SECONDS, queued connections and new ones are closed, so NGINX answers 503
with Retry-After.
"""

import os
import select
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

INTERVAL = 0.5  # seconds


def drop_waiting(listeners: list[socket.socket], ready: Path) -> None:
    """Wait up to INTERVAL for a connection, and close one for each socket that has one, unless READY exists again."""
    for listener in select.select(listeners, [], [], INTERVAL)[0]:
        if not ready.exists():
            with suppress(OSError):  # a worker has accepted the connection already, or the client has closed it
                listener.accept()[0].close()


def main() -> None:
    """Run until the process is killed."""
    ready, patience = Path(sys.argv[1]), float(sys.argv[2])
    listeners = [socket.socket(fileno=3 + number) for number in range(int(os.environ["LISTEN_FDS"]))]
    for listener in listeners:
        listener.setblocking(False)
    last_seen = time.monotonic()
    while True:
        if ready.exists():
            last_seen = time.monotonic()
        if time.monotonic() - last_seen < patience:
            time.sleep(INTERVAL)
        else:
            drop_waiting(listeners, ready)


if __name__ == "__main__":
    main()
