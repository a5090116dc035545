"""Score with many clients for some seconds; print the latencies in ms by status, and the failures, as JSON.

Standard input is JSON: name and secrets of the machine, body, expected scores, number of clients, seconds.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from endpoint import Endpoint
from machine import find
from scoring_clients import Clients

given = json.load(sys.stdin)
machine = find(given["name"], Path(given["secrets"]))
endpoint = Endpoint(machine, "admin", machine.secret("admin_password"), given["body"])
# After a refusal (429 or 503) a client waits 0.2 s. Clients keep their connections, because each TLS handshake would
# use some ms of CPU time.
clients = Clients(
    endpoint, given["expected"], given["number"], statuses=(200, 429, 503), keep=(True,), pause=0.2, patience=30
)
with clients:
    time.sleep(given["seconds"])
times: dict[int, list[float]] = {}
for answer in clients.answers:
    times.setdefault(answer.status, []).append(answer.ms)
print(json.dumps({"ms": times, "failures": clients.failures[:20]}))
