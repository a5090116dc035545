"""Under overload, serving refuses requests quickly, memory stays within a limit, and MLflow still responds."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import replace

from endpoint import Endpoint
from machine import ROOT, Machine
from scoring_clients import quantile
from testinfra.host import Host

CLIENTS, SECONDS, ROWS = 200, 20, 1000
# The time limits of a refusal and of a request to MLflow, in seconds. The clients of this test use the same two cores.
REFUSAL, CALL = 2.0, 10.0
MEMORY = "systemctl list-units --plain --no-legend --full 'trackbox-serving@*.service' | awk '{print $1}'"


def memory_mb(host: Host) -> float:
    """Return the memory of all versions' processes in MB (PSS, so shared memory is counted once)."""
    pids = f"for unit in $({MEMORY}); do p=$(systemctl show -p MainPID --value $unit); echo $p; pgrep -P $p; done"
    text = host.run(f"for p in $({pids}); do cat /proc/$p/smaps_rollup 2>/dev/null; done").stdout
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024


def test_two_hundred_clients_are_refused_at_once_and_mlflow_answers(
    machine: Machine, host: Host, endpoint: Endpoint, versions: list[str]
) -> None:
    endpoint.serve(versions[1])
    # Each request has so many rows that the requests of all clients overlap.
    split = endpoint.body["dataframe_split"]
    large = replace(endpoint, body={"dataframe_split": {**split, "data": split["data"][:1] * ROWS}})
    scores = large.score()[1]
    admin = {"user": "admin", "password": machine.secret("admin_password")}
    before, calls, memory = memory_mb(host), [], []
    given = {"secrets": str(machine.secrets), "name": machine.name, "body": large.body, "seconds": SECONDS}
    given |= {"number": CLIENTS, "expected": {versions[1]: scores}}
    # The clients run in another process, so that their threads do not delay the measurements here.
    command = [sys.executable, str(ROOT / "tests/machine/overloading.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as clients:
        assert clients.stdin is not None
        clients.stdin.write(json.dumps(given))
        clients.stdin.close()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            start = time.monotonic()
            assert machine.ask("/api/2.0/mlflow/experiments/search?max_results=1", **admin).status == 200
            calls.append(time.monotonic() - start)
            memory.append(memory_mb(host))
            time.sleep(0.5)
        assert clients.stdout is not None
        found = json.loads(clients.stdout.read())
    refused = found["ms"].get("429", []) + found["ms"].get("503", [])
    scored = found["ms"].get("200", [])
    print(
        f"{len(scored)} answers and {len(refused)} refusals; p50 and p99 of a refusal {quantile(refused, 0.5):.0f} and "
        f"{quantile(refused, 0.99):.0f} ms, of an answer {quantile(scored, 0.5):.0f} and {quantile(scored, 0.99):.0f} "
        f"ms; MLflow's calls {statistics.median(calls):.1f} s (median), {max(calls):.1f} s (longest); memory of the "
        f"versions {before:.0f} MB before, at most {max(memory):.0f} MB"
    )
    assert found["failures"] == []
    assert len(scored) > 100
    assert len(refused) > 100
    assert quantile(refused, 0.99) < REFUSAL * 1000
    assert max(calls) < CALL
    assert max(memory) < before + 512
    # After the overload, the version scores as before.
    assert large.score() == (versions[1], scores)
