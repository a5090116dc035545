"""Send requests from many clients to several servers alternately; print a JSON object with the times of each round.

Standard input is a JSON object with these keys:

peers       maps a name to a server: url (`unix:PATH` for a Unix socket), experiment, and optionally user, password,
            ca (a certificate's text) and headers.
            With `ask` (method, path, body) the clients repeat this request instead of logging metrics. If the body is a
            string, it is the path of a file with the body.
            With `run` the clients log to this run; otherwise each client creates a run and deletes it at the end.
clients     number of clients
rounds      number of rounds
calls       requests of each client in a round
warm_up     requests of each client before the first round
batch       number of metrics in each log-batch request; 0 means log-metric requests, with one metric each

The output maps each name to a list with one entry for each round: the seconds of the round, then the milliseconds of
each request.
"""

import base64
import http.client
import itertools
import json
import random
import select
import socket
import ssl
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit


class Unix(http.client.HTTPConnection):
    """An HTTP connection to a Unix socket."""

    def __init__(self, path):
        """path: path of the socket."""
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Door:
    """A client of an HTTP server. keep: reuse one connection; otherwise each request opens a new connection."""

    def __init__(self, url, user="", password="", ca=None, keep=True, headers=None):
        """ca: certificate (text) of the CA that signed the server's certificate. headers: added to each request."""
        host, self.keep = urlsplit(url), keep
        self.headers = {"Content-Type": "application/json"} | (headers or {})
        if user:
            login = base64.b64encode(f"{user}:{password}".encode()).decode()
            self.headers["Authorization"] = f"Basic {login}"
        if host.scheme == "unix":
            self.connection = Unix(host.path)
        elif host.scheme == "https":
            trust = ssl.create_default_context(cadata=ca)
            self.connection = http.client.HTTPSConnection(host.netloc, context=trust, timeout=60)
        else:
            self.connection = http.client.HTTPConnection(host.netloc, timeout=60)

    def ask(self, method, path, body=b""):
        """Send a request and return the response's body; raises RuntimeError if the status is not 200."""
        # As urllib3 does, reconnect if the server has closed the kept-alive connection.
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
        """Call /api/2.0/mlflow/runs/CALL; return the decoded JSON response."""
        return json.loads(self.ask("POST", f"/api/2.0/mlflow/runs/{call}", json.dumps(body).encode()))


class Client:
    """A client that logs to a run or repeats one request, on a connection of its own."""

    def __init__(self, peer):
        """peer: a value of `peers` in the JSON object on standard input."""
        self.door = Door(*(peer.get(key) for key in ("url", "user", "password", "ca")), headers=peer.get("headers"))
        self.asked, self.run, self.own = peer.get("ask"), peer.get("run"), False
        if self.asked:
            body = self.asked[2]
            self.body = Path(body).read_bytes() if isinstance(body, str) else json.dumps(body).encode() if body else b""
        # A run that already exists may contain metrics, so the new steps start above the existing steps.
        self.step = 10**8 if self.run else 0
        if not self.asked and not self.run:
            self.run = self.door.post("create", experiment_id=peer["experiment"])["run"]["info"]["run_id"]
            self.own = True

    def close(self):
        """Delete the run if this client created it, and close the connection."""
        if self.own:
            self.door.post("delete", run_id=self.run)
        self.door.connection.close()

    def call(self, batch):
        """Send the peer's request if it has one; otherwise log one metric, or `batch` metrics in one request."""
        if self.asked:
            self.door.ask(*self.asked[:2], self.body)
            return
        self.step += 1
        metric = {"key": "m", "value": random.random(), "timestamp": 1, "step": self.step}
        if not batch:
            self.door.post("log-metric", run_id=self.run, **metric)
            return
        metrics = [{**metric, "key": f"m{number % 10}", "step": self.step * batch + number} for number in range(batch)]
        self.door.post("log-batch", run_id=self.run, metrics=metrics)


def together(clients, calls, batch):
    """Run all clients at once; return the milliseconds of each request, and the seconds of the round."""
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
    """Send requests to the servers alternately, and print the times."""
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
