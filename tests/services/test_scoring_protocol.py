"""The server gives the same scores as MLflow's server, within 1e-9, and refuses the same bodies, always with 4xx."""

from __future__ import annotations

import gzip
import io
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bodies import FORMATS, PARQUET, SECRET, frame_of, malformed, parquet, split
from scoring import MODELS, VERSION, Reference, Reply, Server, data, serving, state

__all__ = ["data", "state"]

# The number of random bodies for each format, divided among the models. `.ci/test --all` sets 500.
BODIES = int(os.environ.get("TRACKBOX_BODIES", "80"))
STREAM, FILE = "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file"


Pair = tuple[str, Server, Reference]


@pytest.fixture(scope="module", params=MODELS)
def pair(request: Any, state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Trackbox's scoring server and MLflow's own for one model."""
    name = request.param
    with serving(state, name, tmp_path_factory.mktemp("server")) as server:
        yield name, server, Reference(state / "models" / name / VERSION / "model")


@pytest.fixture
def server(pair: Pair) -> Server:
    return pair[1]


def check_same(ours: Reply, theirs: Reply, what: str) -> None:
    """Check that both servers return 200 and the same predictions."""
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
    # MLflow's functions score all rows of CSV. In the other formats, the fast path scores nearly all rows.
    assert (fast, slow > 0) == (0, True) if form == "CSV" else fast > 0.95 * (fast + slow)


def rows_by_way(server: Server) -> tuple[float, float]:
    """Return the number of rows that the fast path scored, and the number that MLflow's functions scored."""
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


def test_malformed_bodies_get_the_class_that_mlflow_gives_without_trace_or_data(pair: Pair, data: pd.DataFrame) -> None:
    name, server, reference = pair
    rng = random.Random(MODELS.index(name))
    numbers = np.random.default_rng(5)
    refused = 0
    for _ in range(BODIES // len(MODELS)):
        frame = data.drop(columns=["Time", "Class"]).sample(2, random_state=rng.randrange(2**31)).reset_index(drop=True)
        good = {form: (write(frame, numbers), kind.partition(";")[0]) for form, (write, kind) in FORMATS.items()}
        body, kind = malformed(rng, good)
        ours, theirs = server.ask("/invocations", body, kind), reference.ask(body, kind)
        what = f"{kind!r} {body[:3000]!r}\nours {ours}\ntheirs {theirs}"
        if theirs.status == 200:
            check_same(ours, theirs, what)
            continue
        # A malformed body is an error of the client (4xx), even if MLflow's server fails with 500.
        assert ours.status // 100 == 4, what
        assert theirs.status // 100 in (4, 5), what
        refused += 1
        answer = ours.json
        assert set(answer) == {"error_code", "message"}, what
        assert answer["message"].endswith("."), what
        assert "\n" not in answer["message"], what
        for leak in (SECRET, "Traceback", 'File "', "array("):
            assert leak not in ours.body.decode(), what
    assert refused > BODIES // len(MODELS) // 2


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
