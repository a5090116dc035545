"""How long one `log_metric` takes through the door of several installations, side by side.

Usage, with training/.venv's Python, on a quiet machine; what `make env` prints of each installation names it:

    training/.venv/bin/python bench/compare.py before=ENV_FILE after=ENV_FILE

The installations take turns, round by round, with one connection each that is kept alive. Prints a table: the
first installation is 1.
"""

from __future__ import annotations

import argparse
import random
import shlex
import statistics
import time
from pathlib import Path

import requests

WARM_UP = 50


class Door:
    """One installation, and a run in it to log to."""

    def __init__(self, name: str, env: Path) -> None:
        """Open a connection and create a run. env: a file of `export NAME=VALUE` lines."""
        words = [word for word in shlex.split(env.read_text()) if "=" in word]
        settings = dict(word.split("=", 1) for word in words)
        self.name, self.url = name, settings["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/"
        self.session = requests.Session()
        # Or REQUESTS_CA_BUNDLE, where it is set, would be trusted instead.
        self.session.trust_env = False
        self.session.auth = (settings["MLFLOW_TRACKING_USERNAME"], settings["MLFLOW_TRACKING_PASSWORD"])
        self.session.verify = settings.get("MLFLOW_TRACKING_SERVER_CERT_PATH", True)
        self.run = self.post("runs/create", experiment_id="0", start_time=0)["run"]["info"]["run_id"]
        self.step = 0

    def post(self, call: str, **body: object) -> dict[str, dict[str, dict[str, str]]]:
        """Make an API call; raises requests.HTTPError where it is refused."""
        answer = self.session.post(self.url + call, json=body, timeout=30)
        answer.raise_for_status()
        found: dict[str, dict[str, dict[str, str]]] = answer.json()
        return found

    def log(self, count: int) -> list[float]:
        """Log so many values, one call each; return the milliseconds of each."""
        taken = []
        for _ in range(count):
            self.step += 1
            began = time.perf_counter()
            self.post("runs/log-metric", run_id=self.run, key="m", value=random.random(), step=self.step, timestamp=0)
            taken.append((time.perf_counter() - began) * 1000)
        return taken

    def close(self) -> None:
        """Delete the run."""
        self.post("runs/delete", run_id=self.run)
        self.session.close()


def table(found: dict[str, list[list[float]]]) -> str:
    """A table of the rounds of each installation: the median of the rounds' medians, and what the first is to it."""
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
    """Measure, taking turns, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("installation", nargs="+", help="NAME=ENV_FILE")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=300, help="in each round")
    options = parser.parse_args()
    doors = [Door(name, Path(env)) for name, env in (word.split("=", 1) for word in options.installation)]
    found: dict[str, list[list[float]]] = {door.name: [] for door in doors}
    for door in doors:
        door.log(WARM_UP)
    for number in range(options.rounds):
        for door in doors if number % 2 else doors[::-1]:
            found[door.name].append(door.log(options.calls))
    print(table(found))
    for door in doors:
        door.close()


if __name__ == "__main__":
    main()
