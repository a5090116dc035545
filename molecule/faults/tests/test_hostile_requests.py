"""Fifty concurrent hostile requests of a viewer or admin use limited memory and disk, and hardly delay other users."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from machine import Machine
from testinfra.host import Host
from vm_memory import memory_of

# Maximum increase of memory in MB during the fifty requests, in three workers of MLflow and for request bodies in
# NGINX.
MEMORY_MB = 800
# Maximum increase of disk use in MB. For each user and address, NGINX stores up to eight request bodies of 32 MB.
# MLflow temporarily stores artifacts that pass through it.
DISK_MB = 1024
# Seconds within which every request must get a response.
SECONDS = 240

# This program runs in a separate process, so that the attacker's threads do not delay the other user's measurements.
ATTACK = """
import http.client, json, ssl, sys, threading, time
from base64 import b64encode
address, login, requests, seconds = json.load(sys.stdin)
login = "Basic " + b64encode(login.encode()).decode()
answers = []
def attack(name, method, path, headers, piece, count, pause):
    began = time.monotonic()
    status = 0
    body = bytes.fromhex(piece)
    try:
        line = http.client.HTTPSConnection(address, timeout=seconds, context=ssl._create_unverified_context())
        line.putrequest(method, path)
        for key, value in {"Authorization": login, "Content-Length": str(len(body) * count), **headers}.items():
            line.putheader(key, value)
        line.endheaders()
        try:
            for _ in range(count):
                line.send(body)
                time.sleep(pause)
        except OSError:
            pass  # The door has answered already.
        answer = line.getresponse()
        status = answer.status
        while answer.read(1 << 16):
            pass
        line.close()
    except (OSError, http.client.HTTPException) as error:
        status = 0
    answers.append((name, status, round(time.monotonic() - began, 1)))
threads = [threading.Thread(target=attack, args=request) for request in requests]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
json.dump(answers, sys.stdout)
"""

SEARCH = "/api/2.0/mlflow/runs/search"
JSON = {"Content-Type": "application/json"}


def hostile(experiment: str) -> Iterator[list[Any]]:
    """Yield each request: name, method, path, headers, part of the body in hex, number of parts, pause in seconds."""

    def request(
        name: str, path: str, body: bytes, count: int = 1, pause: float = 0, headers: dict[str, str] | None = None
    ) -> list[Any]:
        return [name, "POST" if body else "GET", path, JSON | (headers or {}), body.hex(), count, pause]

    megabyte = b'"1",' * (1 << 18)
    bomb = gzip.compress(bytes(200 << 20))
    traces = {"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": experiment}
    for number in range(5):
        yield request("a huge list", SEARCH, megabyte, 100)
        yield request(
            "a list within the limit", SEARCH, b'{"experiment_ids":[' + b'"1",' * (125_000 + number) + b'"1"]}'
        )
        yield request("nested arrays", SEARCH, b"[" * 500_000)
        yield request("nested objects", "/graphql", b'{"query":' * 50_000)
        yield request("a bomb", "/v1/traces", bomb, headers=traces | {"Content-Encoding": "gzip"})
        yield request("a deflated bomb", "/v1/traces", bomb[10:], headers=traces | {"Content-Encoding": "deflate"})
        conditions = " AND ".join(f"params.a{place} = '{'b' * 90}'" for place in range(4_600)).encode()
        yield request("a long filter", SEARCH, b'{"experiment_ids":["0"],"filter":"' + conditions + b'"}')
        yield request(
            "many results", SEARCH, json.dumps({"experiment_ids": [experiment], "max_results": 50_000}).encode()
        )
        yield request("a slow body", SEARCH, b"x" * 20, 40, 0.5)
        yield request("a large token", f"/api/2.0/mlflow/experiments/search?max_results=1&page_token={'a' * 7000}", b"")
        yield request("large parameters", "/api/2.0/mlflow/runs/log-batch", b'{"params":[' + megabyte[:-1] + b"]}", 12)
        yield request("a folder", "/api/2.0/mlflow-artifacts/artifacts/", b"")
        yield request("an artifact", f"/get-artifact?run_id={number}&path=..", b"")


@pytest.fixture(scope="module")
def experiment(machine: Machine) -> str:
    """Create an experiment for the attacks; return its id."""
    admin = {"user": "admin", "password": machine.secret("admin_password")}
    name = f"hostile {time.time()}"
    made = machine.ask("/api/2.0/mlflow/experiments/create", method="POST", body={"name": name}, **admin)
    found: str = json.loads(made.body)["experiment_id"]
    return found


def latencies(machine: Machine, until: threading.Event, least: int) -> list[float]:
    """Search as another user until the event is set and `least` searches are done; return the latencies in seconds."""
    user = {"user": "training", "password": machine.secret("training_password")}
    taken: list[float] = []
    while not until.is_set() or len(taken) < least:
        began = time.perf_counter()
        answer = machine.ask("/api/2.0/mlflow/experiments/search?max_results=1", **user)
        taken.append(time.perf_counter() - began)
        assert answer.status == 200, answer.body
        time.sleep(0.05)
    return taken


def p95(taken: list[float]) -> float:
    """Return the 95th percentile, in seconds."""
    return sorted(taken)[int(len(taken) * 0.95)]


@contextmanager
def watched(host: Host) -> Iterator[dict[str, int]]:
    """Yield a dictionary. At the end of the block, set its `memory` and `disk` to the peak increase in MB."""
    script = """
    look() { awk '/^(Anonymous|AnonPages|Shmem):/ {sum += $2} END {print int(sum / 1024)}' /proc/meminfo; }
    pss() { cat $(printf '/proc/%s/smaps_rollup ' $(pgrep -u mlflow,www-data,minio,mysql)) 2>/dev/null |
      awk '/^Pss_(Anon|Shmem):/ {sum += $2} END {print int(sum / 1024)}'; }
    used() { df --output=used --block-size=1M / | tail -1; }
    while [ ! -e /run/hostile-end ]; do echo "$(pss) $(used)"; sleep 0.3; done
    """
    host.check_output("rm -f /run/hostile-end")
    found: dict[str, int] = {}
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(host.run(script).stdout))
    thread.start()
    time.sleep(2)
    try:
        yield found
    finally:
        host.check_output("touch /run/hostile-end")
        thread.join(30)
        rows = [[int(word) for word in line.split()] for line in said[0].splitlines() if len(line.split()) == 2]
        (memory, disk), *_ = rows
        found["memory"] = max(row[0] for row in rows) - memory
        found["disk"] = max(row[1] for row in rows) - disk


@pytest.mark.parametrize("role", ["viewer", "admin"])
def test_fifty_hostile_requests_do_not_disturb_other_users(
    machine: Machine, host: Host, viewer: dict[str, str], experiment: str, role: str
) -> None:
    who = viewer if role == "viewer" else {"user": "admin", "password": machine.secret("admin_password")}
    requests = list(hostile(experiment))
    assert len(requests) >= 50
    ended = threading.Event()
    ended.set()
    quiet = p95(latencies(machine, ended, 100))
    ended.clear()
    taken: list[float] = []
    other = threading.Thread(target=lambda: taken.extend(latencies(machine, ended, 50)))
    database = host.check_output("systemctl show mysql mlflow minio nginx --property=MainPID --value")
    killed = memory_of(machine.name)
    with watched(host) as most:
        other.start()
        done = subprocess.run(
            ["nice", sys.executable, "-c", ATTACK],
            input=json.dumps([machine.address, f"{who['user']}:{who['password']}", requests, SECONDS]),
            capture_output=True,
            text=True,
            timeout=SECONDS + 60,
            check=False,
        )
        ended.set()
        other.join()
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    print(role, quiet, p95(taken), most, sorted(map(tuple, answers)))
    # Each request gets a response. Only the download of a folder that is larger than the disk may be cut off.
    bad = [answer for answer in answers if answer[1] in (0, 502) and answer[0] != "a folder"]
    assert bad == []
    for name in ("a huge list", "a bomb", "a deflated bomb"):
        allowed = {403, 413, 429} if role == "viewer" else {413, 429}
        assert {status for each, status, _ in answers if each == name} <= allowed
    assert most["memory"] < MEMORY_MB
    assert most["disk"] < DISK_MB
    assert p95(taken) <= 3 * quiet, f"95 % of the answers within {p95(taken):.3f} s, when quiet {quiet:.3f} s"
    # No main process was restarted. The main process of MLflow's unit is the supervisor of the workers.
    assert host.check_output("systemctl show mysql mlflow minio nginx --property=MainPID --value") == database
    assert memory_of(machine.name) is None or killed is None or memory_of(machine.name).killed == killed.killed  # type: ignore[union-attr]
