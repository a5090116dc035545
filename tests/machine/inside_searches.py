"""Compare random searches with and without trackbox_mlflow's search.py in a copy of MLflow's schema; print JSON.

inside_searches.py URI COUNT SEED

URI is an empty schema with MLflow's tables. The script writes rows with equal values, NaN, missing values and deleted
entries. Then it makes COUNT random searches of runs, traces, models, versions and experiments twice, first with
MLflow's own code, then with search.py. The searches use every operator, up to two orders, and pages at different
offsets.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from typing import Any

import sqlalchemy
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Store
from mlflow.utils.search_utils import SearchUtils
from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session
from trackbox_mlflow import search

RUNS, TRACES, MODELS, EXPERIMENTS = 600, 300, 60, 60
WORDS = ["a", "A", "ä", "b ", "b", "", "0.5", "it's", "a%b", "x" * 70, "x" * 70 + "y"]
NUMBERS = [0.0, 0.5, 0.5, -1.5, 1e300, float("inf")]
Row = dict[str, Any]


class Rows(dict[str, list[Row]]):
    """The rows of each table."""

    def add(self, table: str, **values: Any) -> None:
        """Add a row."""
        self.setdefault(table, []).append(values)


def add_runs(rows: Rows, chance: random.Random) -> None:
    """Add experiments and runs. Most values occur often; a fifth of the parameters, tags and metrics is missing."""
    add = rows.add
    for number in range(1, EXPERIMENTS):
        stage = chance.choice(["active", "active", "deleted"])
        add(
            "experiments",
            experiment_id=number,
            name=f"e{number}",
            lifecycle_stage=stage,
            creation_time=number // 4,
            last_update_time=chance.choice([1, 2, number]),
            artifact_location="x",
        )
        if number % 2:
            add("experiment_tags", experiment_id=number, key="t", value=chance.choice(WORDS))
    for number in range(RUNS):
        name = f"{chance.getrandbits(128):032x}"
        add(
            "runs",
            run_uuid=name,
            name=chance.choice(WORDS),
            source_type="LOCAL",
            user_id=chance.choice(WORDS),
            status=chance.choice(["FINISHED", "FAILED"]),
            start_time=chance.choice([number // 5, number // 5, 7]),
            end_time=chance.choice([None, 3, 9]),
            experiment_id=chance.choice([1, 1, 2, 3]),
            artifact_uri="x",
            lifecycle_stage=chance.choice(["active", "active", "deleted"]),
        )
        for key in ("p", "q"):
            if chance.random() < 0.8:
                add("params", run_uuid=name, key=key, value=chance.choice([*WORDS, str(number)]))
        for key in ("t", "mlflow.runName"):
            if chance.random() < 0.8:
                add("tags", run_uuid=name, key=key, value=chance.choice([*WORDS, f"run-{number}"]))
        for key in ("m", "n"):
            if chance.random() < 0.8:
                nan, value = chance.random() < 0.1, chance.choice([*NUMBERS, chance.random()])
                value = 0 if nan else min(value, sys.float_info.max)
                add("latest_metrics", run_uuid=name, key=key, value=value, timestamp=1, step=1, is_nan=nan)


def add_others(rows: Rows, chance: random.Random) -> None:
    """Add traces, registered models with their versions, and logged models."""
    add = rows.add
    for number in range(TRACES):
        name = f"tr-{chance.getrandbits(64):016x}"
        add(
            "trace_info",
            request_id=name,
            experiment_id=chance.choice([1, 2]),
            timestamp_ms=number // 3,
            execution_time_ms=chance.choice([None, 1, 2]),
            status=chance.choice(["OK", "ERROR"]),
            db_payload_generation=0,
        )
        if chance.random() < 0.8:
            add("trace_tags", request_id=name, key="t", value=chance.choice(WORDS))
            add("trace_request_metadata", request_id=name, key="d", value=chance.choice(WORDS))
    for number in range(MODELS):
        model = f"model-{number}"
        add("registered_models", name=model, creation_time=1, last_updated_time=chance.choice([None, 1, number // 3]))
        if chance.random() < 0.2:
            add("registered_model_tags", name=model, key="mlflow.prompt.is_prompt", value="true")
        for version in range(1, chance.randrange(2, 8)):
            add(
                "model_versions",
                name=model,
                version=version,
                creation_time=version,
                run_id=f"r{number % 7}",
                current_stage=chance.choice(["None", "None", "Deleted_Internal"]),
                source="s",
                status="READY",
                last_updated_time=chance.choice([None, 1, number]),
            )
    for number in range(RUNS // 3):
        add(
            "logged_models",
            model_id=f"m-{number}",
            experiment_id=chance.choice([1, 2]),
            name="l",
            status=2,
            artifact_location="x",
            creation_timestamp_ms=number // 4,
            last_updated_timestamp_ms=1,
            lifecycle_stage=chance.choice(["active", "active", "deleted"]),
        )


def fill(engine: sqlalchemy.Engine, chance: random.Random) -> None:
    """Write all rows into the database."""
    tables, rows = sqlalchemy.MetaData(), Rows()
    tables.reflect(engine)
    add_runs(rows, chance)
    add_others(rows, chance)
    with engine.begin() as connection:
        for table, entries in rows.items():
            default = {"workspace": "default"} if "workspace" in tables.tables[table].c else {}
            connection.execute(tables.tables[table].insert(), [row | default for row in entries])


def text(chance: random.Random) -> str:
    """Return a random comparison with a text, such as `LIKE 'a%'`."""
    word = chance.choice(WORDS).replace("'", "")
    operator = chance.choice(["=", "!=", "LIKE", "ILIKE"])
    return f"{operator} '{'%' * (operator[-1] == 'E') + word + '%' * chance.randrange(2)}'"


def condition(chance: random.Random) -> str:
    """Return a random condition on runs."""
    compare = chance.choice(["=", "!=", ">", ">=", "<", "<="])
    key = chance.choice(["params.p", "params.q", "tags.t"])
    return chance.choice(
        [
            f"metrics.m {compare} {chance.choice([0, 0.5, 0.3])}",
            f"metrics.n {compare} 0.5",
            f"{key} {text(chance)}",
            f"{key} {text(chance)}",
            f"{key} IS {chance.choice(['', 'NOT '])}NULL",
            f"attributes.run_name {text(chance)}",
            f"attributes.start_time {compare} {chance.randrange(RUNS // 5)}",
            f"attributes.status = '{chance.choice(['FINISHED', 'FAILED'])}'",
            f"attributes.user_id {text(chance)}",
        ]
    )


def order(chance: random.Random, *columns: str, most: int = 2) -> list[str]:
    """Return a random selection of these orders; it may be empty."""
    chosen = chance.sample(columns, chance.randrange(min(most, len(columns)) + 1))
    return [f"{column} {chance.choice(['ASC', 'DESC'])}" for column in chosen]


def question(chance: random.Random) -> tuple[str, Row]:
    """Return a random search: the kind of entries, and the arguments of MLflow's function."""
    what = chance.choice(["runs"] * 6 + ["traces", "traces", "versions", "models", "experiments", "logged"])
    rows = chance.choice([1, 2, 5, 20, 60])
    given: Row = {"max_results": rows}
    if (offset := chance.choice([0, 0, rows, 3 * rows, 200])) and what != "logged":
        given["page_token"] = SearchUtils.create_page_token(offset)
    if what == "runs":
        orders = (
            "metrics.m",
            "metrics.n",
            "params.p",
            "params.q",
            "tags.t",
            "tags.`mlflow.runName`",
            "attributes.start_time",
            "attributes.end_time",
            "attributes.status",
            "attributes.run_name",
        )
        filters = [condition(chance) for _ in range(chance.choice([0, 0, 1, 1, 2, 3]))]
        view = chance.choice([ViewType.ACTIVE_ONLY, ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL])
        experiments = chance.choice([["1"], ["1"], ["2"], ["1", "2", "3"], ["59"]])
        given |= {"experiment_ids": experiments, "run_view_type": view, "order_by": order(chance, *orders)}
        given["filter_string"] = " AND ".join(filters)
    elif what == "traces":
        filters = [chance.choice([f"tags.t {text(chance)}", f"metadata.d {text(chance)}", "status = 'OK'"])]
        given |= {"locations": chance.choice([["1"], ["1", "2"]]), "filter_string": chance.choice(["", *filters])}
        given["order_by"] = order(chance, "timestamp_ms", "tags.t", "execution_time_ms")
    elif what == "versions":
        filters = ["", "name = 'model-3'", "run_id = 'r3'", "run_id IN ('r1', 'r2')", "run_id IN ('none')"]
        given |= {"filter_string": chance.choice(filters)}
        given["order_by"] = order(chance, "last_updated_timestamp", "name", "version_number", most=1)
    elif what == "models":
        given |= {"filter_string": chance.choice(["", "name LIKE 'model-1%'", "name ILIKE '%2'"])}
        given["order_by"] = order(chance, "name", "last_updated_timestamp", most=1)
    elif what == "experiments":
        given |= {"view_type": chance.choice([ViewType.ACTIVE_ONLY, ViewType.ALL])}
        given["filter_string"] = chance.choice(["", f"tags.t {text(chance)}", "name LIKE 'e1%'"])
        given["order_by"] = order(chance, "last_update_time", "creation_time", "name")
    else:
        chosen = order(chance, "creation_timestamp_ms", "name")
        given |= {"experiment_ids": chance.choice([["1"], ["1", "2"]])}
        given["order_by"] = [{"field_name": one.split()[0], "ascending": one.endswith("ASC")} for one in chosen]
    return what, given


def answer(stores: tuple[Any, Any], what: str, given: Row) -> list[str]:
    """Return the names of the rows that a search finds and the next page's token, or MLflow's error message."""
    store, registry = stores
    calls = {"runs": store.search_runs, "traces": store.search_traces, "versions": registry.search_model_versions}
    calls |= {"models": registry.search_registered_models, "experiments": store.search_experiments}
    calls |= {"logged": store.search_logged_models}
    try:
        found = calls[what](**given)
    except MlflowException as error:
        return [str(error)[:200]]
    rows, token = found if what == "traces" else (found, found.token)
    names = {"runs": lambda one: one.info.run_id, "traces": lambda one: one.trace_id, "models": lambda one: one.name}
    names |= {"versions": lambda one: f"{one.name}/{one.version}", "experiments": lambda one: one.experiment_id}
    names |= {"logged": lambda one: one.model_id}
    return [*map(names[what], rows), str(token)]


def main(uri: str, count: int, seed: int) -> dict[str, Any]:
    """Return the number of searches answered from an index, by kind, and the searches whose results differ."""
    stores = Store(uri, "mlflow-artifacts:/"), Registry(uri)
    fill(stores[0].engine, random.Random(seed))
    chance = random.Random(seed + 1)
    questions = [question(chance) for _ in range(count)]
    stock = [answer(stores, *one) for one in questions]
    used: Counter[str] = Counter()
    original = search.answer

    def counted(state: ORMExecuteState) -> Any:
        """Run a search with search.py, and count it if it was answered from an index."""
        if (found := original(state)) is not None:
            used[what] += 1
        return found

    search.answer = counted
    search.install()
    assert event.contains(Session, "do_orm_execute", counted)
    differing = []
    for (what, given), wanted in zip(questions, stock, strict=True):
        search.FEW, search.PAGES = chance.choice([5, 1000]), chance.choice([(10, 100), (2, 10)])
        search.SHORT = chance.choice([5, 1000])
        if (found := answer(stores, what, given)) != wanted:
            differing.append([what, given, wanted[:5], found[:5]])
    refused = [one[0] for one in stock if len(one) == 1 and one not in (["None"], [""])]
    return {
        "used": used,
        "differing": differing[:3],
        "count": len(differing),
        "refused": len(refused),
        "why": refused[:3],
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])), default=str))
