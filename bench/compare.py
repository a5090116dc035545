"""Compare the time of one `log_metric` request through NGINX between several installations.

Usage, on a quiet machine. ENV_FILE contains the output of `make env` for an installation:

    python3 bench/compare.py before=ENV_FILE after=ENV_FILE

The installations take turns, round by round, with one kept-alive connection each. The output is a table with ratios to
the first installation.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

WARM_UP = 50


def peer(env: Path) -> dict[str, str]:
    """Return an installation as an entry of `peers` for bench/client.py. env: file of `export NAME=VALUE` lines."""
    words = [word for word in shlex.split(env.read_text()) if "=" in word]
    settings = dict(word.split("=", 1) for word in words)
    user, password = settings["MLFLOW_TRACKING_USERNAME"], settings["MLFLOW_TRACKING_PASSWORD"]
    found = {"url": settings["MLFLOW_TRACKING_URI"], "user": user, "password": password, "experiment": "0"}
    if authority := settings.get("MLFLOW_TRACKING_SERVER_CERT_PATH"):
        found["ca"] = Path(authority).read_text()
    return found


def table(found: dict[str, list[list[float]]]) -> str:
    """Return a Markdown table. p50 is the median of the rounds' medians. Ratios are to the first installation."""
    lines = ["| installation | p50, ms | rounds, ms | p99, ms | ratio of p50 |", "| --- | ---: | --- | ---: | ---: |"]
    first = 0.0
    for name, rounds in found.items():
        medians = [statistics.median(taken) for taken in rounds]
        middle = statistics.median(medians)
        first = first or middle
        p99 = statistics.median(statistics.quantiles(taken, n=100)[98] for taken in rounds)
        each = ", ".join(f"{median:.2f}" for median in medians)
        lines.append(f"| {name} | {middle:.2f} | {each} | {p99:.1f} | {middle / first:.3f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure the installations alternately: each one once in each round. Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("installation", nargs="+", help="NAME=ENV_FILE")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=300, help="in each round")
    options = parser.parse_args()
    peers = {name: peer(Path(env)) for name, env in (word.split("=", 1) for word in options.installation)}
    given = {
        "peers": peers,
        "clients": 1,
        "calls": options.calls,
        "rounds": options.rounds,
        "batch": 0,
        "warm_up": WARM_UP,
    }
    command = [sys.executable, str(Path(__file__).with_name("client.py"))]
    told = subprocess.run(command, input=json.dumps(given), stdout=subprocess.PIPE, text=True, check=True)
    print(table({name: [taken[1:] for taken in rounds] for name, rounds in json.loads(told.stdout).items()}))


if __name__ == "__main__":
    main()
