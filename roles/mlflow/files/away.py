"""Let nobody wait at the socket of a server that does not come: away.py READY SECONDS, with systemd's sockets.

systemd holds MLflow's address open while MLflow restarts, and requests wait there for a moment. Once the file READY,
which each start of MLflow makes anew, has been missing for SECONDS, those that wait and those that come are hung up on:
NGINX says 503 to them, and when to come back.
"""

import os
import select
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

ready, patience = Path(sys.argv[1]), float(sys.argv[2])
listeners = [socket.socket(fileno=3 + number) for number in range(int(os.environ["LISTEN_FDS"]))]
for listener in listeners:
    listener.setblocking(False)
seen = time.monotonic()
while True:
    if ready.exists():
        seen = time.monotonic()
    if time.monotonic() - seen < patience:
        time.sleep(0.5)
    else:
        for listener in select.select(listeners, [], [], 0.5)[0]:
            if not ready.exists():
                with suppress(OSError):  # Another was faster, or it has left.
                    listener.accept()[0].close()
