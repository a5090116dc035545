"""Measure scoring by our server and by `mlflow models serve`, with the same models, through NGINX and without it."""

from __future__ import annotations

import json
import re
import shlex
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pss
from harness import ANSWERS, CLIENT, Bench
from report import Lines, Result, Target, spread

RECIPES = ("xgboost", "extra-trees", "histogram-boosting")
CLIENTS = (1, 8, 32)
ROWS = (1, 10, 100, 1000, 10_000, 100_000)
OURS, MLFLOW = "ours", "`mlflow models serve`"
FOLDER, PORT = "/run/bench-scoring", 5098
SERVING = "/opt/trackbox/serving"
PARQUET = {"Content-Type": "application/vnd.apache.parquet"}
NEEDS_GB = 2

GROWTH_REASON = "parsing and scoring take time for each row; below 100 rows the time of the server itself prevails."

Peers = dict[str, dict[str, Any]]


@contextmanager
def folder(bench: Bench) -> Iterator[None]:
    """Create FOLDER on the machine with the models and the bodies of requests; remove it afterwards."""
    bench.ssh(f"mkdir -m 755 {FOLDER}")
    try:
        given = {"folder": FOLDER, "recipes": RECIPES, "rows": ROWS}
        bench.client(given, script="client_models.py")
        yield
    finally:
        bench.ssh(f"rm -rf {FOLDER}")


@contextmanager
def ours(bench: Bench, recipe: str, processes: int) -> Iterator[dict[str, Any]]:
    """Serve a model by our server, with the default log of rows and scores; yield it as a peer."""
    settings = {"models": [{"name": recipe}], "state": FOLDER, "run": FOLDER, "processes": processes, "log": "all"}
    bench.ssh(f"cat > {FOLDER}/serving.json", json.dumps(settings))
    found = bench.ssh(f"echo {SERVING}/environment-*/bin/python {SERVING}/program-*").split()
    if len(found) != 2:
        raise RuntimeError(f"{bench.machine.name} has not one environment and one program of serving: {found}")
    socket = f"{FOLDER}/{recipe}.sock"
    options = [
        f"--socket-property=ListenStream={socket}",
        "--service-type=notify",
        f"--setenv=TRACKBOX_SERVING_SETTINGS={FOLDER}/serving.json",
        "--setenv=MALLOC_ARENA_MAX=2",
        f"--working-directory={found[1]}",
    ]
    with bench.unit("bench-ours", f"{found[0]} -B -m trackbox_serving.worker {recipe} 1", *options):
        peer = {"url": f"unix:{socket}", "ask": ["GET", "/ping", None]}
        # systemd opens the socket before the server is ready, so this first request waits until the server is ready.
        bench.client({"peers": {OURS: peer}, "clients": 1, "calls": 1, "batch": 0, "rounds": 1, "warm_up": 1})
        yield {"url": peer["url"]}


@contextmanager
def mlflows(bench: Bench, recipe: str, processes: int) -> Iterator[dict[str, Any]]:
    """Serve a model by `mlflow models serve`, with the same number of processes; yield it as a peer."""
    model = f"{FOLDER}/models/{recipe}/1/model"
    command = f"{CLIENT.replace('/python', '/mlflow')} models serve --model-uri {model} --env-manager local"
    options = [f"--setenv=HOME={FOLDER}", f"--setenv=PATH={CLIENT.rpartition('/')[0]}:/usr/bin:/bin"]
    with bench.unit("bench-mlflow", f"{command} --host 127.0.0.1 --port {PORT} --workers {processes}", *options):
        bench.ssh(f"timeout 180 python3 - http://127.0.0.1:{PORT}/health", ANSWERS)
        yield {"url": f"http://127.0.0.1:{PORT}"}


def elsewhere(settings: str, address: str, shift: int, name: str) -> str:
    """Return NGINX's settings, changed to use other ports, other files and another server for the model `fraud`.

    address: address of that server, as in NGINX's `server`. shift: number that is added to each port. name: prefix of
    the files' names.
    """
    settings = re.sub(r"(listen (?:\S*:)?)(\d+)\b", lambda found: f"{found[1]}{int(found[2]) + shift}", settings)
    settings = re.sub(r"(listen unix:)\S*/", rf"\g<1>{FOLDER}/{name}-", settings)
    settings = settings.replace("/var/log/nginx/", f"{FOLDER}/{name}-").replace(
        "/run/nginx.pid", f"{FOLDER}/{name}.pid"
    )
    changed, count = re.subn(
        r'server "unix:/run/trackbox-serving/fraud/champion.sock"', f'server "{address}"', settings
    )
    if count != 2:
        raise RuntimeError("NGINX's settings have no upstream of the model fraud")
    return changed


@contextmanager
def door(bench: Bench, name: str, address: str, shift: int) -> Iterator[dict[str, Any]]:
    """Run a second NGINX with the installation's settings in front of a server; yield it as a peer."""
    settings = elsewhere(bench.ssh("cat /etc/nginx/nginx.conf"), address, shift, name)
    bench.ssh(f"cat > {FOLDER}/{name}.conf", settings)
    with bench.unit(f"bench-{name}", f"nginx -c {FOLDER}/{name}.conf -g {shlex.quote('daemon off;')}"):
        connect = shlex.quote(f"until (exec 3<>/dev/tcp/127.0.0.1/{443 + shift}) 2>/dev/null; do sleep 0.1; done")
        bench.ssh(f"timeout 20 bash -c {connect}")
        peer = bench.door()
        host = peer["url"].removeprefix("https://")
        yield peer | {"url": f"https://{host.partition(':')[0]}:{443 + shift}", "headers": {"Host": host}}


def asked(peer: dict[str, Any], rows: int, kind: str, *, through: bool) -> dict[str, Any]:
    """Return a peer with the request that its clients repeat."""
    path = "/serving/fraud/invocations" if through else "/invocations"
    headers = peer.get("headers", {}) | (PARQUET if kind == "parquet" else {})
    return peer | {"ask": ["POST", path, f"{FOLDER}/rows-{rows}.{kind}"], "headers": headers}


def rounds(bench: Bench, peers: Peers, clients: int, calls: int) -> dict[str, tuple[list[float], list[float], float]]:
    """Return for each peer the requests/s of each round, the p50 in ms of each round, and the median p99 in ms."""
    given = {"peers": peers, "clients": clients, "calls": calls, "batch": 0, "rounds": 5, "warm_up": 3}
    found = {}
    for name, each in bench.client(given, within=1200).items():
        rates = [clients * calls / taken[0] for taken in each]
        p50 = [statistics.median(taken[1:]) for taken in each]
        p99 = [sorted(taken[1:])[min(len(taken) - 2, round(0.99 * (len(taken) - 1)))] for taken in each]
        found[name] = (rates, p50, statistics.median(p99))
    return found


class Tables:
    """The tables, curves and targets of this subject, filled during the measurement."""

    def __init__(self) -> None:
        """Start the tables with their header lines."""
        head = "requests/s (rounds) | p50, ms (rounds) | p99, ms | requests/s, × MLflow's | p50, × MLflow's |"
        self.one = [f"| model | server | clients | {head}", "| --- | --- | ---: | --- | --- | ---: | ---: | ---: |"]
        self.many = ["| model | rows | format | server | p50, ms (rounds) | rows/s, × MLflow's JSON |"]
        self.many += ["| --- | ---: | --- | --- | --- | ---: |"]
        self.lines: Lines = {}
        self.targets: list[Target] = []

    def one_row(self, recipe: str, where: str, clients: int, found: dict[str, Any], least: float, most: float) -> None:
        """Add the results of requests with one row."""
        base = statistics.median(found[MLFLOW][0]), statistics.median(found[MLFLOW][1])
        for name, (rates, p50, p99) in found.items():
            ratios = statistics.median(rates) / base[0], statistics.median(p50) / base[1]
            cells = f"{spread(rates)} | {spread(p50)} | {p99:.1f} | {ratios[0]:.1f} | {ratios[1]:.2f} |"
            self.one.append(f"| {recipe} | {name}, {where} | {clients} | {cells}")
            if name == OURS and clients == 8:
                what = f"{recipe}, one row, 8 clients, {where}, relative to MLflow's: "
                self.targets.append(Target(f"{what}requests/s", ratios[0], least, at_least=True))
                self.targets.append(Target(f"{what}p50", ratios[1], most))

    def many_rows(self, recipe: str, rows: int, found: dict[str, Any]) -> None:
        """Add the results of one client's requests with several rows. found: results by (server, format)."""
        base = statistics.median(found[MLFLOW, "json"][1])
        for (name, kind), (_, p50, _) in found.items():
            ratio = base / statistics.median(p50)
            self.many.append(f"| {recipe} | {rows:,} | {kind} | {name} | {spread(p50)} | {ratio:.1f} |")
            if recipe == RECIPES[0]:
                self.lines.setdefault(f"{name}, {kind}", []).append((float(rows), statistics.median(p50)))
            if name == OURS and rows == 1000:
                what = f"{recipe}, 1,000 rows as {kind}, rows/s relative to MLflow's JSON"
                self.targets.append(Target(what, ratio, 2 if kind == "json" else 5, at_least=True))


def measure_recipe(bench: Bench, recipe: str, processes: int, tables: Tables) -> None:
    """Measure one model."""
    with ours(bench, recipe, processes) as own, mlflows(bench, recipe, processes) as other:
        socket = own["url"]
        with (
            door(bench, "ours-door", socket, 10_000) as own_door,
            door(bench, "mlflow-door", f"127.0.0.1:{PORT}", 20_000) as other_door,
        ):
            for clients in CLIENTS if recipe == RECIPES[0] else (8,):
                calls = max(6, 96 // clients)
                bare = {OURS: asked(own, 1, "json", through=False), MLFLOW: asked(other, 1, "json", through=False)}
                tables.one_row(recipe, "without NGINX", clients, rounds(bench, bare, clients, calls), 8, 0.15)
                far = {OURS: asked(own_door, 1, "json", through=True)}
                far[MLFLOW] = asked(other_door, 1, "json", through=True)
                tables.one_row(recipe, "through NGINX", clients, rounds(bench, far, clients, calls), 4, 0.3)
        for rows in ROWS if recipe == RECIPES[0] else (1000,):
            keys = [(OURS, "json"), (OURS, "parquet"), (MLFLOW, "json")]
            peers = {
                f"{name} {kind}": asked(own if name == OURS else other, rows, kind, through=False)
                for name, kind in keys
            }
            found = rounds(bench, peers, 1, max(1, min(30, 10_000 // rows)))
            tables.many_rows(recipe, rows, {key: found[f"{key[0]} {key[1]}"] for key in keys})
        sizes = {name: (count, megabytes) for name, count, megabytes in pss.look(bench, ("bench-ours", "bench-mlflow"))}
        # Each server has one parent process beside its workers.
        each = {name: megabytes / count for name, (count, megabytes) in sizes.items()}
        tables.targets.append(
            Target(f"{recipe}, PSS of a process, relative to MLflow's", each["bench-ours"] / each["bench-mlflow"], 1)
        )


def measure(bench: Bench) -> Result:
    """Measure 1 row with 1, 8 and 32 clients, and 1 to 100,000 rows with 1 client; results are medians of 5 rounds."""
    processes = int(bench.ssh("nproc"))
    tables = Tables()
    with folder(bench):
        for recipe in RECIPES:
            measure_recipe(bench, recipe, processes, tables)
    text = "\n".join([f"Both servers have {processes} worker processes.", "", *tables.one, "", *tables.many])
    return Result(tables.targets, text, ("rows", "p50 of a request, ms"), tables.lines, {}, GROWTH_REASON)
