"""One `log_metric`, by 1, 8 and 32 clients: through TLS and password, without NGINX, and by a bare `mlflow server`."""

from __future__ import annotations

import statistics

from harness import Bench
from report import Reach, Result, spread

CLIENTS = (1, 8, 32)
DOOR, OURS, BARE = "through the door", "our server without NGINX", "bare `mlflow server`"


def measure(bench: Bench) -> Result:
    """Milliseconds of a call, medians of five rounds."""
    table = [
        "| server | clients | p50, ms (rounds) | p99, ms | of the bare one's p50 |",
        "| --- | ---: | --- | ---: | ---: |",
    ]
    reaches, lines = [], {}
    with bench.experiment() as number, bench.bare() as bare:
        peers = {
            DOOR: bench.door() | {"experiment": number},
            OURS: {"url": "http://127.0.0.1:5000", "experiment": number},
            BARE: bare | {"experiment": "0"},
        }
        for clients in CLIENTS:
            settings = {"peers": peers, "clients": clients, "calls": max(8, 160 // clients), "rounds": 5, "batch": 0}
            found = bench.client(settings)
            rounds = {name: [statistics.median(taken[1:]) for taken in each] for name, each in found.items()}
            p50 = {name: statistics.median(values) for name, values in rounds.items()}
            for name, each in found.items():
                p99 = statistics.median(statistics.quantiles(taken[1:], n=100)[98] for taken in each)
                share = p50[name] / p50[BARE]
                table.append(f"| {name} | {clients} | {spread(rounds[name])} | {p99:.1f} | {share:.2f} |")
                lines.setdefault(name, []).append((float(clients), p50[name]))
            reaches.append(Reach(f"p50 with {clients} clients, of the bare server's", p50[DOOR] / p50[BARE], 0.5))
            reaches.append(Reach(f"p50 with {clients} clients, of ours without NGINX", p50[DOOR] / p50[OURS], 1.15))
    return Result(reaches, "\n".join(table), ("clients", "p50 of log_metric, ms"), lines)
