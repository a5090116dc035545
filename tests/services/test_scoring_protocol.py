"""Answers equal those of MLflow's own scoring server: to 1e-9 for rows, and in the class of the status for the rest."""

from __future__ import annotations

import gzip
import io
import json
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scoring import JSON, MODELS, VERSION, Reference, Reply, Server, data, serving, state

__all__ = ["data", "state"]

BODIES = 500  # of each format, shared out among the models
CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"
STREAM, FILE = "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file"
SECRET = "secret-8f3a"


@pytest.fixture(scope="module", params=MODELS)
def pair(
    request: Any, state: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Server, Reference]]:
    """Both servers of a model."""
    name = request.param
    with serving(state, name, tmp_path_factory.mktemp("server")) as server:
        yield name, server, Reference(state / "models" / name / VERSION / "model")


@pytest.fixture
def server(pair: Pair) -> Server:
    return pair[1]


def frame_of(rng: np.random.Generator, data: pd.DataFrame, missing: bool) -> pd.DataFrame:
    """Random rows: of the data, of other sizes, whole numbers, and missing values for models that take them."""
    rows = data.sample(int(rng.integers(1, 9)), random_state=int(rng.integers(2**31)))
    frame = rows.drop(columns=["Time", "Class"]).reset_index(drop=True)
    frame *= rng.choice([1, 1, 1e-9, 1e6])
    if rng.random() < 0.2:
        frame.iloc[:, rng.integers(29)] = frame.iloc[:, rng.integers(29)].round()
    if missing and rng.random() < 0.4:
        frame.iloc[rng.integers(len(frame)), rng.integers(29)] = np.nan
        if rng.random() < 0.3:
            frame.iloc[:, rng.integers(29)] = np.nan
    if rng.random() < 0.4:
        frame = frame[list(rng.permutation(frame.columns))]
    return frame


def cells(frame: pd.DataFrame, rng: np.random.Generator) -> list[list[Any]]:
    """Rows as JSON has them: whole numbers sometimes without a point, missing ones as null."""
    short = rng.random() < 0.5
    return [
        [None if math.isnan(cell) else int(cell) if short and cell.is_integer() else cell for cell in row]
        for row in frame.to_numpy().tolist()
    ]


def split(frame: pd.DataFrame, rng: np.random.Generator) -> bytes:
    document: dict[str, Any] = {"columns": list(frame.columns), "data": cells(frame, rng)}
    if rng.random() < 0.3:
        document["index"] = list(range(len(frame)))
    if rng.random() < 0.2:
        document["columns"].append("note")
        document["data"] = [[*row, SECRET] for row in document["data"]]
    return json.dumps({"dataframe_split": document}).encode()


def records(frame: pd.DataFrame, rng: np.random.Generator, key: str = "dataframe_records") -> bytes:
    rows = [dict(zip(frame.columns, row, strict=True)) for row in cells(frame, rng)]
    if key == "dataframe_records" and rng.random() < 0.2:
        rows[0]["note"] = SECRET
    return json.dumps({key: rows}).encode()


def instances(frame: pd.DataFrame, rng: np.random.Generator) -> bytes:
    return records(frame, rng, "instances")


def inputs(frame: pd.DataFrame, rng: np.random.Generator) -> bytes:
    rows = cells(frame, rng)
    columns = {name: [row[i] for row in rows] for i, name in enumerate(frame.columns)}
    return json.dumps({"inputs": columns}).encode()


def csv(frame: pd.DataFrame, rng: np.random.Generator) -> bytes:
    return frame.to_csv(index=False).encode()


def parquet(frame: pd.DataFrame, rng: np.random.Generator) -> bytes:
    written: bytes = frame.to_parquet()
    return written


FORMATS: dict[str, tuple[Callable[[pd.DataFrame, np.random.Generator], bytes], str]] = {
    "dataframe_split": (split, JSON),
    "dataframe_records": (records, JSON),
    "inputs": (inputs, "application/json; charset=utf-8"),
    "instances": (instances, JSON),
    "CSV": (csv, CSV),
    "Parquet": (parquet, PARQUET),
}


def check_same(ours: Reply, theirs: Reply, what: str) -> None:
    """Compare the answers of both servers."""
    assert ours.status == theirs.status == 200, (what, ours, theirs)
    assert list(ours.json) == list(theirs.json) == ["predictions"], what
    np.testing.assert_allclose(ours.json["predictions"], theirs.json["predictions"], rtol=1e-9, atol=1e-9, err_msg=what)


@pytest.mark.parametrize("form", FORMATS)
def test_random_rows_get_the_scores_that_mlflow_gives(pair: Pair, data: pd.DataFrame, form: str) -> None:
    name, server, reference = pair
    write, kind = FORMATS[form]
    rng = np.random.default_rng(sorted(FORMATS).index(form))
    before = rows_by_way(server)
    for _ in range(BODIES // len(MODELS)):
        body = write(frame_of(rng, data, name in ("xgboost", "histogram-boosting")), rng)
        check_same(server.ask("/invocations", body, kind), reference.ask(body, kind), body.decode("latin-1"))
    fast, slow = (after - old for after, old in zip(rows_by_way(server), before, strict=True))
    # CSV has no fast way; of the others nearly all rows take it.
    assert (fast, slow > 0) == (0, True) if form == "CSV" else fast > 0.95 * (fast + slow)


def rows_by_way(server: Server) -> tuple[float, float]:
    """How many rows were scored by the fast way, and by MLflow's functions."""
    text = server.ask("/metrics").body.decode()
    found = [line.split() for line in text.splitlines() if line.startswith("trackbox_serving_rows_total{")]
    ways = {name.partition('way="')[2].partition('"')[0]: float(value) for name, value in found}
    return ways["fast"], ways["mlflow"]


@pytest.mark.parametrize("kind", [STREAM, FILE])
def test_arrow_gets_the_scores_of_parquet(server: Server, data: pd.DataFrame, kind: str) -> None:
    import pyarrow as pa

    rng = np.random.default_rng(8)
    for _ in range(20):
        frame = frame_of(rng, data, missing=False)
        table, sink = pa.Table.from_pandas(frame), io.BytesIO()
        with (pa.ipc.new_stream if kind == STREAM else pa.ipc.new_file)(sink, table.schema) as writer:
            writer.write_table(table)
        check_same(
            server.ask("/invocations", sink.getvalue(), kind),
            server.ask("/invocations", parquet(frame, rng), PARQUET),
            str(frame),
        )
    assert server.ask("/invocations", sink.getvalue()[:-40], FILE).status == 400


def malformed(rng: random.Random, good: dict[str, tuple[bytes, str]]) -> tuple[bytes, str]:
    """A body with one thing wrong, or what may be taken for it."""
    form = rng.choice(sorted(good))
    body, kind = good[form]
    if rng.random() < 0.25:
        # Any bytes: cut off, overwritten, or of another type.
        at = rng.randrange(len(body))
        return rng.choice(
            [
                (body[:at], kind),
                (body[:at] + SECRET.encode() + body[at:], kind),
                (body[:at] + b"\xff\xfe" + body[at + 2 :], kind),
                (body, rng.choice([CSV, JSON, PARQUET, "text/plain", SECRET, "", "application/json; charset=latin-1"])),
                (body, f"{kind}; {SECRET}=1"),
                (b"", kind),
            ]
        )
    if kind != JSON:
        frame = pd.read_csv(io.BytesIO(good["CSV"][0]))
        name = rng.choice(list(frame.columns))
        changed = rng.choice(
            [
                frame.drop(columns=name),
                frame.assign(**{name: SECRET}),
                frame.assign(**{name: 5}),
                frame.assign(**{name: True}),
                frame.assign(**{name: [None] * len(frame)}),
                frame.assign(**{name: np.inf}),
                frame.assign(**{name: 1e39}),
                frame.astype({name: np.float32}),
                frame.set_index(name),
                frame.iloc[:0],
                frame.assign(extra=SECRET),
            ]
        )
        if kind == CSV:
            return changed.to_csv(index=changed.index.name is not None).encode(), CSV
        return changed.to_parquet(), PARQUET
    document = json.loads(body)
    [key] = document
    value = document[key]
    odd = rng.choice([
        SECRET, "1.5", "", True, None, [], [1, 2], {}, {"a": SECRET}, 10**30, -(2**70), float("nan"), float("inf"),
        1e39, -1e308, 2**53 + 1,
    ])  # fmt: skip
    whole = rng.choice(["cell", "cell", "cell", "value", "key", "more", "list", "row", "drop", "rename", "literal"])
    name = rng.choice(["V3", "Amount"])
    if whole == "value":
        document[key] = odd
    elif whole == "key":
        document = {rng.choice(["rows", "inputs", "instances", "dataframe_split", "dataframe_records"]): value}
    elif whole == "more":
        document[rng.choice(["params", "signature_name", "instances", "inputs", "dataframe_split", SECRET])] = odd
    elif whole == "list":
        document = rng.choice([[document], SECRET, 5, None])
    elif whole == "literal":
        return rng.choice(
            [b"{}", b"[]", b'"secret-8f3a"', b"{" * 3000, b"[" * 200_000, b"NaN", b'{"inputs": 1e999}']
        ), JSON
    elif key == "dataframe_split":
        column = value["columns"].index(name)
        row = rng.choice(value["data"])
        if whole == "cell":
            row[column] = odd
        elif whole == "row":
            rng.choice([row.pop, lambda: row.append(1.0), lambda: value.update(data=[]), lambda: value.pop("columns"),
                        lambda: value.update(index=[odd]), lambda: value["columns"].append(name)])()  # fmt: skip
        elif whole == "drop":
            value["columns"].pop(column)
            for one in value["data"]:
                one.pop(column)
        else:
            value["columns"][column] = odd if rng.random() < 0.5 else rng.choice([SECRET, "V4", None, 7])
    elif key == "inputs":
        if whole == "cell":
            value[name][0] = odd
        elif whole == "row":
            value[name] = rng.choice([odd, [], value[name] * 2, value[name][0], [value[name]]])
        elif whole == "drop":
            value.pop(name)
        else:
            value[SECRET] = value.pop(name)
    else:
        row = rng.choice(value)
        if whole == "cell":
            row[name] = odd
        elif whole == "row":
            value.append(odd)
        elif whole == "drop":
            row.pop(name)
        else:
            row[SECRET] = row.pop(name)
    return json.dumps(document).encode(), JSON


def test_malformed_bodies_get_the_class_that_mlflow_gives_without_trace_or_data(pair: Pair, data: pd.DataFrame) -> None:
    _, server, reference = pair
    rng = random.Random(5)
    numbers = np.random.default_rng(5)
    refused = 0
    for _ in range(500):
        frame = data.drop(columns=["Time", "Class"]).sample(2, random_state=rng.randrange(2**31)).reset_index(drop=True)
        good = {form: (write(frame, numbers), kind.partition(";")[0]) for form, (write, kind) in FORMATS.items()}
        body, kind = malformed(rng, good)
        ours, theirs = server.ask("/invocations", body, kind), reference.ask(body, kind)
        what = f"{kind!r} {body[:3000]!r}\nours {ours}\ntheirs {theirs}"
        if theirs.status == 200:
            check_same(ours, theirs, what)
            continue
        # What MLflow fails at with 500 is the caller's error, too.
        assert ours.status // 100 == 4, what
        assert theirs.status // 100 in (4, 5), what
        refused += 1
        answer = ours.json
        assert set(answer) == {"error_code", "message"}, what
        assert answer["message"].endswith("."), what
        assert "\n" not in answer["message"], what
        for leak in (SECRET, "Traceback", 'File "', "array("):
            assert leak not in ours.body.decode(), what
    assert refused > 200


def test_the_small_paths_answer_as_mlflow_does(server: Server) -> None:
    import mlflow

    for path in ("/ping", "/health"):
        assert (server.ask(path).status, server.ask(path).body) == (200, b"\n")
    assert server.ask("/version").body.decode() == mlflow.__version__
    assert server.ask("/nothing").status == 404
    assert server.ask("/invocations").status == 405
    assert server.ready.startswith(b"READY=1")


def test_gzip_is_decompressed_and_a_bomb_is_refused(server: Server, data: pd.DataFrame) -> None:
    body = split(data.drop(columns=["Time", "Class"]).head(3), np.random.default_rng(0))
    plain = server.ask("/invocations", body)
    assert server.ask("/invocations", gzip.compress(body), Content_Encoding="gzip").body == plain.body
    assert server.ask("/invocations", gzip.compress(body)[:-9], Content_Encoding="gzip").status == 400
    assert server.ask("/invocations", gzip.compress(body) + b"x", Content_Encoding="gzip").status == 400
    assert server.ask("/invocations", body, Content_Encoding="gzip").status == 400
    assert server.ask("/invocations", body, Content_Encoding="br").status == 415
    bomb = gzip.compress(bytes(65 << 20))
    assert len(bomb) < 100_000
    assert server.ask("/invocations", bomb, Content_Encoding="gzip").status == 413
