"""Searches that search.py answers from an index return the same rows as MLflow's own SQL statements."""

import json
import math
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from machine import DUMP, SOCKET, SQL_CLIENT, Machine, run_inside
from testinfra.host import Host

COUNT, PAGE = 1500, 50
SQL = "mysql mlflow --execute=%s"
Run = dict[str, Any]


def value(chance: random.Random, number: int) -> Any:
    """Return a metric value for a run, or None for a missing metric. Many values are equal, and some are NaN."""
    return None if number % 17 == 0 else math.nan if number % 13 == 0 else chance.choice([chance.random(), 0.5, 0.9])


@pytest.fixture(scope="module")
def runs(host: Host, machine: Machine) -> Iterator[tuple[str, list[Run]]]:
    """Write runs directly into the database; yield the experiment's id and the runs."""
    chance = random.Random(7)
    admin = {"user": "admin", "password": machine.secret("admin_password")}
    path = "/api/2.0/mlflow/experiments/create"
    made = machine.ask(path, method="POST", body={"name": f"test-search-{time.time_ns()}"}, **admin)
    experiment = json.loads(made.body)["experiment_id"]
    found = [
        {
            "id": f"{chance.getrandbits(128):032x}",
            "start": 1 + number // 3,
            "m": value(chance, number),
            "live": number % 7 != 0,
        }
        for number in range(COUNT)
    ]
    words = [(run["id"], run["start"], "active" if run["live"] else "deleted") for run in found]
    runs = [
        f"('{name}', 'x', 'x', 'LOCAL', 'FINISHED', {start}, '{stage}', {experiment})" for name, start, stage in words
    ]
    metrics = [
        f"('m', {0 if math.isnan(run['m']) else run['m']!r}, 1, 0, {int(math.isnan(run['m']))}, '{run['id']}')"
        for run in found
        if run["m"] is not None
    ]
    insert(
        host,
        "runs (run_uuid, artifact_uri, user_id, source_type, status, start_time, lifecycle_stage, experiment_id)",
        runs,
    )
    insert(host, "latest_metrics (`key`, value, timestamp, step, is_nan, run_uuid)", metrics)
    yield experiment, [run for run in found if run["live"]]
    inside = f"(SELECT run_uuid FROM runs WHERE experiment_id = {experiment})"
    host.check_output(SQL, f"DELETE FROM latest_metrics WHERE run_uuid IN {inside}")
    host.check_output(SQL, f"DELETE FROM runs WHERE experiment_id = {experiment}")
    machine.ask("/api/2.0/mlflow/experiments/delete", method="POST", body={"experiment_id": experiment}, **admin)


def insert(host: Host, columns: str, rows: list[str]) -> None:
    """Write rows into a table of MLflow, in batches that fit into a command line."""
    for start in range(0, len(rows), 250):
        host.check_output(SQL, f"INSERT INTO {columns} VALUES " + ", ".join(rows[start : start + 250]))


def pages(machine: Machine, experiment: str, wanted: int, **query: Any) -> list[str]:
    """Return the ids of the first runs of a search, read page by page."""
    admin = {"user": "admin", "password": machine.secret("admin_password")}
    ids: list[str] = []
    body = {"experiment_ids": [experiment], "max_results": PAGE, **query}
    while len(ids) < wanted:
        answer = machine.ask("/api/2.0/mlflow/runs/search", method="POST", body=body, **admin)
        assert answer.status == 200, answer.body
        said = json.loads(answer.body)
        ids += [run["info"]["run_id"] for run in said.get("runs", [])]
        if not (token := said.get("next_page_token")):
            break
        body["page_token"] = token
    return ids


def in_order(found: list[Run], down: bool) -> list[str]:
    """Return the ids in MLflow's order: by metric, then NaN, then no metric. Ties: latest start first, then by id."""

    def place(run: Run) -> tuple[int, float, int, str]:
        kind = 2 if run["m"] is None else 1 if math.isnan(run["m"]) else 0
        number = 0 if kind else run["m"]
        return kind, -number if down else number, -run["start"], run["id"]

    return [run["id"] for run in sorted(found, key=place)]


@pytest.mark.parametrize("down", [True, False])
def test_pages_by_a_metric_are_in_order_to_the_last_run(
    machine: Machine, runs: tuple[str, list[Run]], down: bool
) -> None:
    experiment, found = runs
    ids = pages(machine, experiment, COUNT, order_by=[f"metrics.m {'DESC' if down else 'ASC'}"])
    assert ids == in_order(found, down)


@pytest.mark.parametrize("least", [0.5, 0.99, 2])
def test_a_filtered_page_by_a_metric_is_in_order(machine: Machine, runs: tuple[str, list[Run]], least: float) -> None:
    experiment, found = runs
    chosen = [run for run in found if run["m"] is not None and run["m"] > least]
    ids = pages(machine, experiment, COUNT, order_by=["metrics.m DESC"], filter=f"metrics.m > {least}")
    assert ids == in_order(chosen, True)


@pytest.fixture
def schema(host: Host) -> Iterator[str]:
    """Copy MLflow's schema, without data and triggers; return the copy's URI."""
    name = "trackbox_test_searches"
    try:
        host.check_output(f'{SQL_CLIENT} -e "DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}"')
        host.check_output(f"{DUMP} --no-data --skip-triggers mlflow | {SQL_CLIENT} {name}")
        host.check_output(f'{SQL_CLIENT} {name} -e "INSERT INTO alembic_version SELECT * FROM mlflow.alembic_version"')
        yield f"mysql+pymysql://root@localhost/{name}?unix_socket={SOCKET}"
    finally:
        host.run(f'{SQL_CLIENT} -e "DROP DATABASE IF EXISTS {name}"')


def test_random_searches_find_what_mlflows_own_statements_find(host: Host, schema: str) -> None:
    count = os.environ.get("TRACKBOX_SEARCHES", "100")
    said = json.loads(run_inside(host, Path(__file__).with_name("inside_searches.py"), schema, count, "1"))
    assert said["count"] == 0, said["differing"]
    assert said["refused"] < int(count) / 10
    assert sum(said["used"].values()) > int(count) / 10
    assert len(said["used"]) > 2
