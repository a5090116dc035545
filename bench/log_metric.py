"""Measure `log_metric` with 1, 8 and 32 clients through NGINX, without NGINX, and on a bare `mlflow server`."""

from __future__ import annotations

import statistics
from functools import partial

import pss
from harness import Bench
from report import Result, Target, spread

CLIENTS = (1, 8, 32)
DOOR, OURS, BARE = "through the front door", "our server without NGINX", "bare `mlflow server`"

MISS_REASON = (
    "a call takes 0.55 ms of CPU time in NGINX, for TLS and for passing it on (systemd's accounting, measured beside "
    "other work). The login is a token, which takes 0.003 ms of it; for a password, bcrypt would add 2.2. With 8 or "
    "more clients both cores are busy: a call takes 6.4 ms of CPU time in MLflow and 2.0 in MySQL, and the clients use "
    "the same cores. Of "
    "MLflow's share SQLAlchemy takes 34 %, PyMySQL 17, MLflow's own code 17, Starlette 16, uvicorn 8 (py-spy, 12 s "
    "under 8 clients). Unlike the bare server, which waits 44 ms in each call, our server has no idle wait to remove."
)
GROWTH_REASON = (
    "one client waits only for its own round trip; with more clients than cores, clients wait for each other."
)


def measure(bench: Bench) -> Result:
    """Measure the milliseconds of a request; results are medians of five rounds."""
    table = [
        "| server | clients | p50, ms (rounds) | p99, ms | p50, relative to the bare server |",
        "| --- | ---: | --- | ---: | ---: |",
    ]
    targets, lines = [], {}
    with bench.experiment() as number, bench.bare() as bare:
        peers = {
            DOOR: bench.door() | {"experiment": number},
            OURS: {"url": "http://127.0.0.1:5000", "experiment": number},
            BARE: bare | {"experiment": "0"},
        }
        for clients in CLIENTS:
            settings = {"clients": clients, "calls": max(8, 160 // clients), "batch": 0}
            found = bench.client({**settings, "peers": peers, "rounds": 5})
            rounds = {name: [statistics.median(taken[1:]) for taken in each] for name, each in found.items()}
            p50 = {name: statistics.median(values) for name, values in rounds.items()}
            for name, each in found.items():
                p99 = statistics.median(statistics.quantiles(taken[1:], n=100)[98] for taken in each)
                share = p50[name] / p50[BARE]
                table.append(f"| {name} | {clients} | {spread(rounds[name])} | {p99:.1f} | {share:.2f} |")
                lines.setdefault(name, []).append((float(clients), p50[name]))
            targets.append(Target(f"p50, {clients} clients, relative to the bare server", p50[DOOR] / p50[BARE], 0.5))
            targets.append(Target(f"p50, {clients} clients, relative to no NGINX", p50[DOOR] / p50[OURS], 1.15))
    with bench.experiment() as number:

        def work(clients: int) -> None:
            peers = {DOOR: bench.door() | {"experiment": number}}
            bench.client({"peers": peers, "clients": clients, "calls": 40, "batch": 0, "rounds": 1})

        memory = pss.growth(bench, {clients: partial(work, clients) for clients in CLIENTS})
    return Result(
        targets, "\n".join(table), ("clients", "p50 of log_metric, ms"), lines, memory, GROWTH_REASON, MISS_REASON
    )
