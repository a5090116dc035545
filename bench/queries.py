"""Measure pages of short and long lists that MLflow's UI and client request, and show the database's plans.

The requests follow the source code of MLflow 3.17's UI and client. They are not recordings of a browser's requests.
"""

from __future__ import annotations

import base64
import json
import statistics
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import fill
import plans
from harness import Bench
from report import Lines, Result, Target, spread

SIZES = (1_000, 10_000, 100_000)
MODELS = (100, 10_000)
PAGES = (1, 2, 10)
SETTINGS = {"clients": 1, "calls": 2, "rounds": 3, "batch": 0, "warm_up": 1}
API = "/ajax-api/2.0/mlflow"
GOAL, LIMIT_MS = 2, 200

NEWEST = "runs, newest first"
RUNS: dict[str, dict[str, object]] = {
    NEWEST: {"order_by": ["attributes.start_time DESC"]},
    "runs by name": {"order_by": ["tags.`mlflow.runName` ASC"]},
    "runs by a parameter": {"order_by": ["params.`p2` DESC"]},
    "runs by a metric": {"order_by": ["metrics.`m1` DESC"]},
    "runs with one of two values of a parameter": {"filter": "params.`p0` = '1'"},
    "runs whose name contains …": {"filter": "attributes.run_name ILIKE '%-00012%'"},
    "runs with a parameter = …": {"filter": "params.`p1` = '7'"},
    "runs with a tag = …": {"filter": "tags.`t2` = '7'"},
    "runs by a metric, filtered by a parameter and a metric": {
        "filter": "params.`p0` = '1' AND metrics.`m1` > 0.5",
        "order_by": ["metrics.`m1` DESC"],
    },
}
TRACES: dict[str, dict[str, object]] = {
    "traces, newest first": {},
    "traces by a tag": {"filter": "tags.t0 = '7'"},
    "traces by metadata": {"filter": "metadata.`mlflow.trace.user` = '7'"},
}
GROWTH_REASON = (
    "the first pages come from an index (`trackbox_mlflow/search.py`). A part of a text is compared with the name of "
    "every run: no index finds it."
)


@dataclass(frozen=True)
class Question:
    """A search request. rows: length of a page. body: None for a GET request, whose query is part of `path`."""

    path: str
    body: dict[str, object] | None
    rows: int = 100

    def page(self, number: int) -> list[Any]:
        """Return method, path and body of the request for a page, in the form of client.py's `ask`."""
        token = base64.b64encode(json.dumps({"offset": (number - 1) * self.rows}).encode()).decode()
        given: dict[str, object] = {"page_token": token} if number > 1 else {}
        if self.body is None:
            joint = "&" if "?" in self.path else "?"
            return ["GET", self.path + (joint + urlencode(given) if given else ""), None]
        return ["POST", self.path, self.body | given]


def of_experiment(number: str) -> dict[str, Question]:
    """Return the search requests for runs and traces of an experiment, by name."""
    runs = {"experiment_ids": [number], "run_view_type": "ACTIVE_ONLY", "max_results": 100}
    newest = {"order_by": ["attributes.start_time DESC"]}
    found = {name: Question(f"{API}/runs/search", runs | newest | query) for name, query in RUNS.items()}
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": number}}
    traces = {"locations": [place], "max_results": 100, "order_by": ["timestamp_ms DESC"]}
    return found | {
        name: Question("/ajax-api/3.0/mlflow/traces/search", traces | query) for name, query in TRACES.items()
    }


def of_lists() -> dict[str, Question]:
    """Return the search requests for models, versions and experiments, by name. MLflow has only one list of each."""

    def get(call: str, rows: int, **query: object) -> Question:
        return Question(f"{API}/{call}/search?{urlencode({'max_results': rows, **query})}", None, rows)

    experiments = {"max_results": 25, "view_type": "ACTIVE_ONLY"}
    return {
        "models by name": get("registered-models", 25, order_by="name ASC"),
        "models, last changed first": get("registered-models", 25, order_by="timestamp DESC"),
        "models whose name contains …": get("registered-models", 25, filter="name ILIKE '%-00001%'"),
        "versions of a model": get("model-versions", 100, filter="name = 'bench-000007'"),
        "versions of a run": get("model-versions", 100, filter="run_id = 'none'"),
        "versions of some runs": get("model-versions", 100, filter="run_id IN ('none', 'nothing')"),
        "all versions": get("model-versions", 100),
        "experiments, last changed first": Question(
            f"{API}/experiments/search", experiments | {"order_by": ["last_update_time DESC"]}, 25
        ),
        "experiments by creation": Question(f"{API}/experiments/search", dict(experiments), 25),
    }


class Measured:
    """The milliseconds of each request, by name, size of the list and page; one value for each round."""

    def __init__(self, bench: Bench) -> None:
        """bench: the requests go to the NGINX of this installation."""
        self.bench, self.found = bench, dict[tuple[str, int, int], list[float]]()

    def ask(self, peers: dict[tuple[str, int, int], Question]) -> None:
        """Send the requests alternately, and store their times. peers: requests by name, size of the list, and page."""
        door = self.bench.door()
        given = {json.dumps(key): door | {"ask": question.page(key[2])} for key, question in peers.items()}
        said = self.bench.client({**SETTINGS, "peers": given})
        for key, rounds in said.items():
            name, size, page = json.loads(key)
            self.found[name, size, page] = [statistics.median(taken[1:]) for taken in rounds]

    def median(self, name: str, size: int, page: int = 1) -> float:
        """Return the milliseconds of a request, the median of its rounds."""
        return statistics.median(self.found[name, size, page])


def measure(bench: Bench) -> Result:
    """Measure milliseconds of each request; results are medians of three rounds of two requests."""
    measured, large = Measured(bench), SIZES[-1]
    with fill.lists(bench, SIZES) as made, fill.registry(bench, MODELS) as registry:
        questions = {size: of_experiment(number) for size, number in made.items()}
        for name in questions[large]:
            pages = [(name, size, page) for size in SIZES for page in (PAGES if size == large else (1,))]
            measured.ask({key: questions[key[1]][name] for key in pages})
        for size in registry:
            for name, question in of_lists().items():
                pages = [(name, size, page) for page in (PAGES if size == MODELS[-1] else (1,))]
                measured.ask(dict.fromkeys(pages, question))
        asked = questions[large] | of_lists()
        found = plans.explain(bench, {name: question.page(1) for name, question in asked.items()})
    return result(measured, found)


def result(measured: Measured, found: dict[str, list[str]]) -> Result:
    """Return the result: tables, targets and curves. found: the execution plans of each request."""
    table = ["| list | entries | page | ms (rounds) |", "| --- | ---: | ---: | --- |"]
    table += [f"| {name} | {size:,} | {page} | {spread(each)} |" for (name, size, page), each in measured.found.items()]
    table += ["", "The database's plans for the first page of the longest list, in order of its statements:", ""]
    table += ["| list | table: access by index, rows |", "| --- | --- |"]
    table += [f"| {name} | {'<br>'.join(each)} |" for name, each in found.items()]
    targets, lines = [], Lines()
    for name in found:
        sizes = sorted({size for other, size, page in measured.found if other == name})
        first, last = measured.median(name, sizes[0]), measured.median(name, sizes[-1])
        targets.append(Target(f"{name}: {sizes[-1]:,}, relative to {sizes[0]:,}", last / first, GOAL))
        targets.append(Target(f"{name}: first page of {sizes[-1]:,}", last, LIMIT_MS, "ms"))
        if sizes[-1] == SIZES[-1] and name in (*list(RUNS)[:4], "traces, newest first"):
            lines[name] = [(float(size), measured.median(name, size)) for size in sizes]
    return Result(
        targets, "\n".join(table), ("entries of the list", "ms for the first page"), lines, growth_reason=GROWTH_REASON
    )
