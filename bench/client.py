"""Many clients call several servers, which take turns; prints a round's seconds and the milliseconds of its calls.

Standard input, as JSON: peers (name to url, experiment, and user, password and ca where it has them), clients, calls
(of each client and round), rounds, batch (metrics a call; 0 is log-metric), warm_up (calls of each client). A peer with
`ask` is asked that instead: a method, a path and a body; one with `run` logs to this run, and leaves it there.
"""

import base64
import http.client
import itertools
import json
import random
import select
import ssl
import sys
import threading
import time
from urllib.parse import urlsplit


class Door:
    """A connection to a server, with a password where it has one: kept alive, or new for each request."""

    def __init__(self, url, user="", password="", ca=None, keep=True):
        """ca: the text of the authority's certificate."""
        host, self.keep = urlsplit(url), keep
        self.headers = {"Content-Type": "application/json"}
        if user:
            login = base64.b64encode(f"{user}:{password}".encode()).decode()
            self.headers["Authorization"] = f"Basic {login}"
        if host.scheme == "https":
            trust = ssl.create_default_context(cadata=ca)
            self.connection = http.client.HTTPSConnection(host.netloc, context=trust, timeout=60)
        else:
            self.connection = http.client.HTTPConnection(host.netloc, timeout=60)

    def ask(self, method, path, body=b""):
        """Send a request, and return what was answered; raises where that is no success."""
        # As urllib3 does: a kept connection that the server closed meanwhile is not used.
        if self.connection.sock and select.select([self.connection.sock], [], [], 0)[0]:
            self.connection.close()
        self.connection.request(method, path, body, self.headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if not self.keep:
            self.connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} {text[:200]!r}")
        return text

    def post(self, call, **body):
        """Call MLflow's API."""
        return json.loads(self.ask("POST", f"/api/2.0/mlflow/runs/{call}", json.dumps(body).encode()))


class Client:
    """What one client does, by its own connection: it logs to a run, or asks the same again and again."""

    def __init__(self, peer):
        """peer: as standard input has it."""
        self.door = Door(peer["url"], peer.get("user"), peer.get("password"), peer.get("ca"))
        self.asked, self.run, self.own = peer.get("ask"), peer.get("run"), False
        # A run that has metrics already has them by lower steps.
        self.step = 10**8 if self.run else 0
        if not self.asked and not self.run:
            self.run = self.door.post("create", experiment_id=peer["experiment"])["run"]["info"]["run_id"]
            self.own = True

    def close(self):
        """Delete the run, if it is this client's."""
        if self.own:
            self.door.post("delete", run_id=self.run)
        self.door.connection.close()

    def call(self, batch):
        """Log one metric, or so many at once; or ask."""
        if self.asked:
            method, path, body = self.asked
            self.door.ask(method, path, json.dumps(body).encode() if body else b"")
            return
        self.step += 1
        metric = {"key": "m", "value": random.random(), "timestamp": 1, "step": self.step}
        if not batch:
            self.door.post("log-metric", run_id=self.run, **metric)
            return
        metrics = [{**metric, "key": f"m{number % 10}", "step": self.step * batch + number} for number in range(batch)]
        self.door.post("log-batch", run_id=self.run, metrics=metrics)


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
        together(clients, s.get("warm_up", 5), s["batch"])
    for number in range(s["rounds"]):
        for name in list(peers)[:: 1 if number % 2 else -1]:
            taken, seconds = together(peers[name], s["calls"], s["batch"])
            found[name].append([seconds, *taken])
    for client in itertools.chain(*peers.values()):
        client.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
