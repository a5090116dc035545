"""Measure the seconds from the restart of a service, bare MLflow or the machine to the first successful response."""

from __future__ import annotations

import statistics

from harness import Bench, alternate
from machine import inside, reboot
from report import Result, Target, spread

OURS, BARE, WHOLE = "MLflow", "bare `mlflow server`", "the machine, to `/healthz` 200"

# Restarts a unit, waits until the URL (if one is given) responds with success, and prints the seconds.
ASK = """import subprocess, sys, time, urllib.request
unit, *urls = sys.argv[1:]
began = time.monotonic()
subprocess.run(["systemctl", "restart", unit], check=True)
while urls:
    try:
        urllib.request.urlopen(urls[0], timeout=5).read()
        break
    except OSError:
        time.sleep(0.02)
print(time.monotonic() - began)"""


def restart(bench: Bench, unit: str, url: str = "") -> float:
    """Return the seconds until a restarted unit is ready. For MySQL and NGINX, `systemctl restart` waits until then."""
    return float(bench.ssh(f"python3 - {unit} {url}", ASK))


def measure(bench: Bench) -> Result:
    """Measure seconds; results are medians of five rounds, and of three for the machine's restart."""
    with bench.bare() as bare:
        found = alternate(
            {
                "MySQL": lambda: restart(bench, bench.database),
                "MinIO": lambda: restart(bench, "minio", "http://127.0.0.1:9000/minio/health/ready"),
                OURS: lambda: restart(bench, "mlflow", "http://127.0.0.1:5000/health"),
                BARE: lambda: restart(bench, "bench-mlflow", bare["url"] + "/health"),
                "NGINX": lambda: restart(bench, "nginx"),
            },
            5,
        )
    found[WHOLE] = [reboot(bench.machine, inside(bench.machine.name)) for _ in range(3)]
    middle = {name: statistics.median(values) for name, values in found.items()}
    table = ["| what starts | seconds (each) |", "| --- | --- |"]
    table += [f"| {name} | {spread(values)} |" for name, values in found.items()]
    return Result(
        [
            Target("MLflow's start, relative to the bare server", middle[OURS] / middle[BARE], 1.1),
            Target("the machine's restart", middle[WHOLE], 60, "s"),
        ],
        "\n".join(table),
    )
