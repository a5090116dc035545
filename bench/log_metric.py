"""One `log_metric`, by 1, 8 and 32 clients: through TLS and password, without NGINX, and by a bare `mlflow server`."""

from __future__ import annotations

import statistics
from functools import partial

import pss
from harness import Bench
from report import Reach, Result, spread

CLIENTS = (1, 8, 32)
DOOR, OURS, BARE = "through the door", "our server without NGINX", "bare `mlflow server`"

WHY = (
    "NGINX takes 2.1 ms of CPU for a call, and 2.0 of them are the password's bcrypt, at cost 5; our own server "
    "takes so little by now that this is more than 15 % of it. From 8 clients on both cores are full: of a call's "
    "CPU time 6.4 ms are MLflow's, 2.0 MySQL's and 2.1 NGINX's (systemd's accounts of the units), and what the "
    "clients take on the same cores comes on top. Of MLflow's share SQLAlchemy takes 34 %, PyMySQL 17, MLflow's "
    "own code 17, Starlette 16, uvicorn 8 (py-spy, 12 s under 8 clients): there is no wait left to take away, as "
    "there is in the bare server's 44 ms."
)
BENDS = (
    "one client waits for its own round trip; with more clients than cores the cores are busy, and each new client "
    "waits for the others."
)


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
            settings = {"clients": clients, "calls": max(8, 160 // clients), "batch": 0}
            found = bench.client({**settings, "peers": peers, "rounds": 5})
            rounds = {name: [statistics.median(taken[1:]) for taken in each] for name, each in found.items()}
            p50 = {name: statistics.median(values) for name, values in rounds.items()}
            for name, each in found.items():
                p99 = statistics.median(statistics.quantiles(taken[1:], n=100)[98] for taken in each)
                share = p50[name] / p50[BARE]
                table.append(f"| {name} | {clients} | {spread(rounds[name])} | {p99:.1f} | {share:.2f} |")
                lines.setdefault(name, []).append((float(clients), p50[name]))
            reaches.append(Reach(f"p50 with {clients} clients, of the bare server's", p50[DOOR] / p50[BARE], 0.5))
            reaches.append(Reach(f"p50 with {clients} clients, of ours without NGINX", p50[DOOR] / p50[OURS], 1.15))
    with bench.experiment() as number:

        def work(clients: int) -> None:
            peers = {DOOR: bench.door() | {"experiment": number}}
            bench.client({"peers": peers, "clients": clients, "calls": 40, "batch": 0, "rounds": 1})

        memory = pss.growth(bench, {clients: partial(work, clients) for clients in CLIENTS})
    return Result(reaches, "\n".join(table), ("clients", "p50 of log_metric, ms"), lines, memory, BENDS, WHY)
