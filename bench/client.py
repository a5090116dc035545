"""On the machine: many clients call several servers, which take turns; prints the milliseconds of each call.

Standard input, as JSON: peers (name to url, experiment, and user, password and ca where it has them), clients, calls
(of each client and round), rounds, batch (metrics a call; 0 is log-metric). A peer with `search` is asked that instead.
"""

import base64
import http.client
import json
import random
import select
import ssl
import sys
import threading
import time
from urllib.parse import urlsplit


class Client:
    """One connection that is kept alive, and a run."""

    def __init__(self, peer):
        """peer: as standard input has it."""
        url = urlsplit(peer["url"])
        self.headers = {"Content-Type": "application/json"}
        if url.scheme == "https":
            trust = ssl.create_default_context(cadata=peer["ca"])
            self.connection = http.client.HTTPSConnection(url.netloc, context=trust, timeout=60)
            login = base64.b64encode(f"{peer['user']}:{peer['password']}".encode()).decode()
            self.headers["Authorization"] = f"Basic {login}"
        else:
            self.connection = http.client.HTTPConnection(url.netloc, timeout=60)
        self.search = peer.get("search")
        if not self.search:
            self.run = self.post("create", experiment_id=peer["experiment"])["run"]["info"]["run_id"]
        self.step = 0

    def post(self, call, **body):
        """Call MLflow's API; raises where it refuses."""
        # As urllib3 does: a kept connection that the server closed meanwhile is not used.
        if self.connection.sock and select.select([self.connection.sock], [], [], 0)[0]:
            self.connection.close()
        self.connection.request("POST", f"/api/2.0/mlflow/runs/{call}", json.dumps(body), self.headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} {text[:300]}")
        return json.loads(text)

    def call(self, batch):
        """Log one metric, or so many at once; or search."""
        if self.search:
            self.post("search", **self.search)
            return
        self.step += 1
        metric = {"key": "m", "value": random.random(), "timestamp": 1, "step": self.step}
        if not batch:
            self.post("log-metric", run_id=self.run, **metric)
            return
        metrics = [{**metric, "key": f"m{number % 10}", "step": self.step * batch + number} for number in range(batch)]
        self.post("log-batch", run_id=self.run, metrics=metrics)


def together(clients, calls, batch):
    """Let all clients log at once; return the milliseconds of each call, and the seconds of all."""
    taken, gate = [], threading.Barrier(len(clients) + 1)

    def work(client):
        gate.wait()
        for _ in range(calls):
            began = time.perf_counter()
            client.call(batch)
            taken.append(1000 * (time.perf_counter() - began))

    threads = [threading.Thread(target=work, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    gate.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    assert len(taken) == len(clients) * calls, "a client failed"
    return taken, time.perf_counter() - began


def main():
    """Let the peers take turns."""
    s = json.load(sys.stdin)
    peers = {name: [Client(peer) for _ in range(s["clients"])] for name, peer in s["peers"].items()}
    found = {name: [] for name in peers}
    for clients in peers.values():
        together(clients, 5, s["batch"])
    for number in range(s["rounds"]):
        for name in list(peers)[:: 1 if number % 2 else -1]:
            taken, seconds = together(peers[name], s["calls"], s["batch"])
            found[name].append([seconds, *taken])
    print(json.dumps(found))


main()
