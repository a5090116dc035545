"""From the order to start until it answers: each service, a bare `mlflow server`, and the machine."""

from __future__ import annotations

import statistics
import time

from harness import Bench, Reach, Result, alternate, spread

# Waits for an answer of success from a URL, and prints the seconds since the command.
ASK = """import subprocess, sys, time, urllib.request
began = time.monotonic()
subprocess.run(sys.argv[2:], check=True)
while True:
    try:
        urllib.request.urlopen(sys.argv[1], timeout=5).read()
        break
    except OSError:
        time.sleep(0.02)
print(time.monotonic() - began)"""


def timed(bench: Bench, url: str, command: str) -> float:
    """Seconds until the URL answers after the command."""
    return float(bench.ssh(f"python3 - {url} {command}", ASK))


def reboot(bench: Bench) -> float:
    """Seconds from the order to restart the machine until the door says that all is well."""
    began = time.monotonic()
    bench.ssh("systemctl reboot || true")
    time.sleep(3)
    bench.machine.wait_for_health(200, 120)
    return time.monotonic() - began


def measure(bench: Bench) -> Result:
    """Seconds, medians of five; of the machine's restart, of three."""
    with bench.bare() as bare:
        found = alternate(
            {
                "mysql": lambda: timed(bench, "http://127.0.0.1:9000/minio/health/live", "systemctl restart mysql"),
                "minio": lambda: timed(bench, "http://127.0.0.1:9000/minio/health/ready", "systemctl restart minio"),
                "mlflow": lambda: timed(bench, "http://127.0.0.1:5000/health", "systemctl restart mlflow"),
                "bare `mlflow server`": lambda: timed(bench, bare["url"] + "/health", "systemctl restart bench-mlflow"),
                "nginx": lambda: timed(bench, "http://127.0.0.1:9000/minio/health/live", "systemctl restart nginx"),
            },
            5,
        )
    found["the machine, to /healthz 200"] = [reboot(bench) for _ in range(3)]
    middle = {name: statistics.median(values) for name, values in found.items()}
    table = ["| what starts | seconds (each) |", "| --- | --- |"]
    table += [f"| {name} | {spread(values)} |" for name, values in found.items()]
    return Result(
        [
            Reach("MLflow's start, of the bare server's", middle["mlflow"] / middle["bare `mlflow server`"], 1.1),
            Reach("the machine's restart", middle["the machine, to /healthz 200"], 60, "s"),
        ],
        "\n".join(table),
    )
