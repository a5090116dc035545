"""Services are killed while clients write. All services restart, and no acknowledged write is lost."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

from machine import Machine
from testinfra.host import Host
from writers import acknowledged, check_stored, writing

# Limits in seconds on a busy machine: for a call, and for a service's restart. docs/reliability.md shows measurements.
WAIT, BACK = 30, 60
# The minimum number of metrics, and the limit in seconds for writing them on a busy machine.
METRICS, LONG = 100_000, 800


def written(told: Path) -> int:
    """Return the number of metrics acknowledged so far."""
    return sum(len(line.get("metrics", [])) for line in acknowledged(told))


def test_each_service_killed_three_times_under_100_000_metrics(machine: Machine, host: Host, tmp_path: Path) -> None:
    seed = time.time_ns()
    chance = random.Random(seed)
    victims = ["mysql", "minio", "mlflow"] * 3
    chance.shuffle(victims)
    print(f"seed {seed}: {' '.join(victims)}")
    back: dict[str, list[float]] = {}
    told = tmp_path / "told"
    with writing(machine, told, LONG, 4):
        start = time.monotonic()
        for victim in victims:
            time.sleep(chance.uniform(3, 8))
            host.check_output(f"systemctl kill --signal=KILL {victim}")
            back.setdefault(victim, []).append(machine.wait_for_health(200, BACK))
        print("back after", {name: [round(one, 1) for one in times] for name, times in back.items()})
        while written(told) < METRICS:
            assert time.monotonic() - start < LONG, "too few were written"
            time.sleep(5)
    lines = acknowledged(told)
    every = [json.loads(line) for line in told.read_text().splitlines() if line.endswith("}")]
    slowest = max(line["took"] for line in every)
    print(f"{written(told)} metrics, {len(lines)} calls, {len(every) - len(lines)} errors, the slowest {slowest:.1f} s")
    found = check_stored(machine, told)
    assert found["lost"] == []
    assert found["held"] == len(lines)
    assert slowest < WAIT


def lose_a_worker(host: Host) -> Iterator[None]:
    """Kill a worker of MLflow; yield repeatedly until a new worker has replaced it."""
    workers = "pgrep --parent $(systemctl show --property=MainPID --value mlflow)"
    before = host.check_output(workers).split()
    host.check_output(f"kill -KILL {before[0]}")
    end = time.monotonic() + BACK
    while len(now := host.check_output(workers).split()) < len(before) or before[0] in now:
        assert time.monotonic() < end, "the killed worker was not replaced"
        yield


def test_a_killed_worker_is_replaced_while_the_other_worker_answers(machine: Machine, host: Host) -> None:
    admin = {"user": "admin", "password": machine.secret("admin_password")}
    statuses = set()
    for _ in lose_a_worker(host):
        statuses.add(machine.ask("/api/2.0/mlflow/experiments/search?max_results=1", **admin).status)
    # Requests to the killed worker get 503, so clients may repeat them.
    assert statuses <= {200, 503}


def test_while_a_service_is_stopped_clients_get_503_at_once(machine: Machine, host: Host) -> None:
    admin = {"user": "admin", "password": machine.secret("admin_password")}
    artifact = "/api/2.0/mlflow-artifacts/artifacts/faults/down.txt"
    metric = {"run_id": "0" * 32, "key": "m", "value": 1, "timestamp": 1}
    for unit, path, method in (
        ("minio", artifact, "PUT"),
        ("mysql", "/api/2.0/mlflow/runs/log-metric", "POST"),
    ):
        # Kill a worker first, so that one worker is new, and has no connection to the database or to MinIO yet.
        list(lose_a_worker(host))
        host.check_output(f"systemctl stop {unit}")
        try:
            start = time.monotonic()
            said = machine.ask(path, method=method, body=metric, **admin)
            assert (said.status, said.headers["Retry-After"]) == (503, "3"), unit
            assert b"TEMPORARILY_UNAVAILABLE" in said.body
            assert time.monotonic() - start < 5
        finally:
            host.check_output(f"systemctl start {unit}")
    machine.wait_for_health(200, BACK)


def test_a_request_that_waits_for_a_failing_server_gets_503(machine: Machine, host: Host) -> None:
    admin = {"user": "admin", "password": machine.secret("admin_password")}
    path = "/api/2.0/mlflow/experiments/search?max_results=1"
    program = host.check_output("systemctl show --property=WorkingDirectory --value mlflow") + "/trackbox_mlflow"
    host.check_output(f"mv {program}/server.py {program}/server.kept; systemctl kill --signal=KILL mlflow")
    try:
        time.sleep(22)
        for _ in range(3):
            start = time.monotonic()
            said = machine.ask(path, **admin)
            assert (said.status, said.headers["Retry-After"]) == (503, "3")
            assert time.monotonic() - start < 2
    finally:
        host.check_output(f"mv {program}/server.kept {program}/server.py")
    machine.wait_for_health(200, BACK)
    assert machine.ask(path, **admin).status == 200
