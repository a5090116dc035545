"""Check which models the server loads, and its responses: decisions, contributions, HTML, Open Inference Protocol."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import yaml
from scoring import MODELS, THRESHOLD, VERSION, application, ask_application, data, describe, state
from trackbox_serving.models.allowed import ModelError
from trackbox_serving.models.scorer import load

__all__ = ["data", "state"]


@pytest.fixture
def frame(data: pd.DataFrame) -> pd.DataFrame:
    """Six rows with the columns of the model's signature."""
    return data.drop(columns=["Time", "Class"]).head(6)


def split(frame: pd.DataFrame) -> bytes:
    """Return the rows as a JSON body."""
    return json.dumps({"dataframe_split": {"columns": list(frame), "data": frame.to_numpy().tolist()}}).encode()


def copied(state: Path, name: str, tmp_path: Path) -> Path:
    """Copy a model's folder; return the path of the copy."""
    return Path(shutil.copytree(state / "models" / name / VERSION / "model", tmp_path / "model"))


def edit(folder: Path, change: Callable[[Any], Any]) -> None:
    """Change the flavors in the file MLmodel."""
    description = yaml.safe_load((folder / "MLmodel").read_text())
    change(description["flavors"])
    (folder / "MLmodel").write_text(yaml.safe_dump(description))


EVIL: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "pickle": ("logistic", lambda f: f["sklearn"].update(serialization_format="cloudpickle"), "Only skops"),
    "loader": ("xgboost", lambda f: f["python_function"].update(loader_module="os"), "code of its own"),
    "code": ("xgboost", lambda f: f["python_function"].update(code="code"), "folder of code"),
    "flavour's code": ("logistic", lambda f: f["sklearn"].update(code="code"), "folder of code"),
    "class": ("xgboost", lambda f: f["xgboost"].update(model_class="os.system"), "no class of XGBoost"),
    "outside": (
        "xgboost",
        lambda f: [f[one].update(data="../model.ubj") for one in ("xgboost", "python_function")],
        "not one file in its folder",
    ),
    "two files": ("xgboost", lambda f: f["python_function"].update(data="MLmodel"), "not one file in its folder"),
    "two models": ("logistic", lambda f: f["python_function"].update(data="input_example.json"), "does not have"),
    "no loader": ("xgboost", lambda f: f.pop("python_function"), "cannot be read"),
}


@pytest.mark.parametrize("name", EVIL)
def test_a_model_that_is_not_only_data_is_not_loaded(state: Path, tmp_path: Path, name: str) -> None:
    model, change, why = EVIL[name]
    folder = copied(state, model, tmp_path)
    (tmp_path / "model.ubj").write_bytes(b"")
    edit(folder, change)
    with pytest.raises(ModelError, match=why):
        load(folder, allow_code=False)


def test_the_list_of_trusted_types_in_a_model_is_not_believed(state: Path, tmp_path: Path) -> None:
    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    folder = copied(state, "logistic", tmp_path)
    skops.io.dump(FunctionTransformer(shutil.rmtree), folder / "model.skops")
    names = skops.io.get_untrusted_types(file=folder / "model.skops")
    assert names
    edit(folder, lambda flavours: flavours["sklearn"].update(skops_trusted_types=names))
    with pytest.raises(ModelError, match=r"MLflow cannot load the model: .*[Uu]ntrusted"):
        load(folder, allow_code=False)


def test_code_that_was_logged_with_a_model_needs_permission(state: Path, frame: pd.DataFrame) -> None:
    folder = state / "models" / "isolation-forest" / VERSION
    with pytest.raises(ModelError, match="code of its own"):
        load(folder / "model", allow_code=False)
    describe(folder, "isolation-forest", allow_code=True)
    reply = ask_application(application(state, "isolation-forest"), "/invocations", split(frame))
    wanted = mlflow.pyfunc.load_model(str(folder / "model")).predict(frame)
    np.testing.assert_allclose(reply.json["predictions"], wanted, rtol=1e-9)


def test_a_link_out_of_the_folder_is_not_followed(state: Path, tmp_path: Path) -> None:
    folder = copied(state, "xgboost", tmp_path)
    (folder / "model.ubj").rename(tmp_path / "elsewhere.ubj")
    (folder / "model.ubj").symlink_to(tmp_path / "elsewhere.ubj")
    with pytest.raises(ModelError, match="not one file in its folder"):
        load(folder, allow_code=False)


@pytest.mark.parametrize("name", MODELS)
def test_each_recipe_has_a_fast_way_in_one_thread(state: Path, name: str) -> None:
    scorer = load(state / "models" / name / VERSION / "model", allow_code=False)
    assert scorer.predict is not None
    raw = scorer.pyfunc.get_raw_model()
    if name == "extra-trees":
        assert raw.n_jobs == 1
        assert scorer.predict.__qualname__.startswith("forest.")


def test_a_fast_way_that_differs_is_not_used(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trackbox_serving.models import fast

    original = fast.candidates

    def wrong(*given: Any) -> Any:
        for predict in original(*given):
            yield lambda matrix, predict=predict: predict(matrix) * np.float32(1 + 1e-6)

    monkeypatch.setattr(fast, "candidates", wrong)
    assert load(state / "models" / "xgboost" / VERSION / "model", allow_code=False).predict is None


def test_details_have_the_decision_and_the_threshold(state: Path, frame: pd.DataFrame) -> None:
    ours = application(state, "logistic")
    found = ask_application(ours, "/invocations", split(frame), query="details=true").json
    plain = ask_application(ours, "/invocations", split(frame)).json
    assert found["predictions"] == plain["predictions"]
    assert found["threshold"] == THRESHOLD
    assert found["decision"] == [int(row[1] >= THRESHOLD) for row in plain["predictions"]]
    assert {0, 1} >= set(found["decision"])


@pytest.mark.parametrize("name", ["xgboost", "logistic"])
def test_contributions_add_up_to_the_score(state: Path, frame: pd.DataFrame, name: str) -> None:
    ours = application(state, name)
    found = ask_application(ours, "/invocations", split(frame), query="explain=29").json
    for i, row in enumerate(found["explanation"]["contributions"]):
        assert {one["column"]: one["value"] for one in row} == dict(frame.iloc[i])
        margin = found["explanation"]["base"][i] + sum(one["contribution"] for one in row)
        score = np.ravel(found["predictions"][i])[-1]
        assert 1 / (1 + np.exp(-margin)) == pytest.approx(score, abs=1e-6)
    few = ask_application(ours, "/invocations", split(frame), query="explain=3").json
    sizes = [abs(one["contribution"]) for one in found["explanation"]["contributions"][0]]
    assert sizes == sorted(sizes, reverse=True)
    assert few["explanation"]["contributions"][0] == found["explanation"]["contributions"][0][:3]
    # MLflow's functions parse CSV bodies, instead of the fast path. The explanation must be the same.
    text = ask_application(ours, "/invocations", frame.to_csv(index=False).encode(), "text/csv", "explain=3").json
    np.testing.assert_allclose(
        [one["contribution"] for row in text["explanation"]["contributions"] for one in row],
        [one["contribution"] for row in few["explanation"]["contributions"] for one in row],
    )


def test_contributions_that_are_not_exact_are_refused(state: Path, frame: pd.DataFrame) -> None:
    ours = application(state, "extra-trees")
    assert ask_application(ours, "/invocations", split(frame), query="explain=3").status == 400
    assert ask_application(application(state, "xgboost"), "/invocations", split(frame), query="explain=x").status == 400


@pytest.mark.parametrize("name", ["xgboost", "logistic"])
def test_the_open_inference_protocol(state: Path, frame: pd.DataFrame, name: str) -> None:
    ours = application(state, name)
    wanted = ask_application(ours, "/invocations", split(frame)).json["predictions"]
    columns = [
        {"name": one, "datatype": "FP64", "shape": [len(frame)], "data": list(frame[one])} for one in frame.columns
    ]
    table = {"name": "any", "datatype": "FP64", "shape": list(frame.shape), "data": frame.to_numpy().tolist()}
    for inputs in (columns, columns[::-1], [table], [table | {"data": frame.to_numpy().ravel().tolist()}]):
        for path in (f"/v2/models/{name}/infer", f"/v2/models/{name}/versions/{VERSION}/infer"):
            reply = ask_application(ours, path, json.dumps({"id": "a", "inputs": inputs}).encode())
            assert reply.status == 200, reply
            [output] = reply.json["outputs"]
            assert np.reshape(output["data"], output["shape"]).tolist() == wanted
            assert (reply.json["id"], reply.json["model_name"], reply.json["model_version"]) == ("a", name, VERSION)
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", f"/v2/models/{name}/ready", f"/v2/models/{name}"):
        assert ask_application(ours, path).status == 200, path
    described = ask_application(ours, f"/v2/models/{name}/versions/{VERSION}").json
    assert [one["name"] for one in described["inputs"]] == list(frame.columns)
    assert ask_application(ours, f"/v2/models/{name}/versions/8/infer", b"{}").status == 404
    assert ask_application(ours, "/v2/models/other/infer", b"{}").status == 404


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": []},
        {"inputs": "secret-8f3a"},
        {"inputs": [{"name": "V1", "datatype": "FP64", "shape": [1], "data": [1.0]}]},
        {"inputs": [{"name": "a", "datatype": "FP64", "shape": [1, 29], "data": ["secret-8f3a"] * 29}]},
        {"inputs": [{"name": "a", "datatype": "FP64", "shape": [2, 29], "data": [1.0] * 29}]},
        {"inputs": [{"name": "a", "datatype": "secret-8f3a", "shape": [1, 29], "data": [1.0] * 29}]},
        {"inputs": [{"name": "a", "datatype": "FP64", "shape": [-1, 29], "data": [1.0] * 29}]},
        {"inputs": [{"name": "a", "datatype": "FP64", "shape": [0, 29], "data": []}]},
        {"inputs": [{"name": "a", "datatype": "FP64", "shape": [1, 29], "data": [1e39] * 29}]},
        {"inputs": [{"name": "a", "datatype": "INT64", "shape": [1, 29], "data": [2**70] * 29}]},
        {"id": 5},
        [],
    ],
)
def test_malformed_requests_of_the_open_inference_protocol_are_the_callers_error(state: Path, change: Any) -> None:
    reply = ask_application(application(state, "xgboost"), "/v2/models/xgboost/infer", json.dumps(change).encode())
    assert reply.status == 400
    assert list(reply.json) == ["error"]
    assert b"secret" not in reply.body


class Page(HTMLParser):
    """Parses the tags and the example request of the HTML page. Fails if the page loads anything but style sheets."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.example = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Store a tag, and check that only a <link> loads a file."""
        self.tags.append(tag)
        assert tag == "link" or not {name for name, _ in attrs} & {"src", "href", "style", "onload"}

    def handle_data(self, data: str) -> None:
        """Store the text of the example request, which is in <pre>."""
        if self.tags[-1:] == ["pre"]:
            self.example += data


def test_the_page_needs_one_style_and_no_script_and_its_example_runs(state: Path, frame: pd.DataFrame) -> None:
    folder = state / "models" / "logistic" / VERSION
    describe(folder, "logistic", promoted_by="<script>")
    ours = application(state, "logistic")
    describe(folder, "logistic")
    text = ask_application(ours, "/docs").body.decode()
    page = Page(text)
    assert not {"script", "style", "img"} & set(page.tags)
    assert [text.count("<link"), text.count('<link rel="stylesheet" href="/serving/style.css">')] == [1, 1]
    assert "&lt;script&gt;" in text
    assert all(f"<td>{name}</td>" in text for name in frame.columns)
    body = page.example.split("<<'END'\n")[1].partition("\nEND")[0]
    assert ask_application(ours, "/invocations", body.encode()).status == 200
    described = ask_application(ours, "/openapi.json").json
    operation = described["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"]
    assert ask_application(ours, "/invocations", json.dumps(operation["example"]).encode()).status == 200
    record = operation["schema"]["properties"]["dataframe_records"]["items"]
    assert list(record["properties"]) == record["required"] == list(frame.columns)


def test_a_signature_of_whole_numbers_and_text_is_served_as_mlflow_does(tmp_path: Path) -> None:
    from mlflow.models import infer_signature
    from scoring import Reference
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rng = np.random.default_rng(1)
    table = pd.DataFrame({"age": rng.integers(18, 90, 200), "income": rng.normal(3, 1, 200)})
    labels = (table["income"] * table["age"] > 150).astype(int)
    for name in ("numbers", "mixed"):
        rows = table if name == "numbers" else table.assign(town=rng.choice(["Rome", "Paris"], 200))
        last = [] if name == "numbers" else [(OneHotEncoder(), ["town"])]
        steps = make_column_transformer((StandardScaler(), ["age", "income"]), *last)
        model = make_pipeline(steps, LogisticRegression()).fit(rows, labels)
        place = tmp_path / "models" / name / VERSION
        mlflow.sklearn.save_model(
            model, place / "model", pyfunc_predict_fn="predict_proba", signature=infer_signature(rows)
        )
        describe(place, name)
        ours, theirs = application(tmp_path, name), Reference(place / "model")
        for change in (
            {},
            {"age": 30.5},
            {"age": "30"},
            {"age": None},
            {"income": 3},
            {"income": None},
            {"age": 2**40},
        ):
            one = rows.iloc[0].to_dict() | change
            for document in ({"dataframe_records": [one]}, {"inputs": {key: [value] for key, value in one.items()}}):
                body = json.dumps(document, default=int).encode()
                mine, wanted = ask_application(ours, "/invocations", body), theirs.ask(body, "application/json")
                assert mine.status // 100 == wanted.status // 100, (document, mine, wanted)
                if mine.status == 200:
                    np.testing.assert_allclose(mine.json["predictions"], wanted.json["predictions"], rtol=1e-9)


def test_an_onnx_model_is_served_in_one_thread(tmp_path: Path) -> None:
    import onnx
    from mlflow.models import infer_signature
    from onnx import TensorProto, helper, numpy_helper
    from scoring import Reference

    weights = np.array([[0.5], [-1.0], [0.25]], dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["rows", "weights"], ["margin"]), helper.make_node("Sigmoid", ["margin"], ["p"])],
        "model",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, 3])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(weights, "weights")],
    )
    rows = pd.DataFrame(np.random.default_rng(2).normal(size=(4, 3)), columns=["a", "b", "c"])
    place = tmp_path / "models" / "net" / VERSION
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    mlflow.onnx.save_model(model, place / "model", signature=infer_signature(rows))
    describe(place, "net")
    scorer = load(place / "model", allow_code=False)
    assert scorer.predict is not None
    assert scorer.pyfunc.get_raw_model().get_session_options().intra_op_num_threads == 1
    mine, wanted = (
        ask_application(application(tmp_path, "net"), "/invocations", split(rows)),
        Reference(place / "model").ask(split(rows), "application/json"),
    )
    assert mine.json == wanted.json
    details = ask_application(application(tmp_path, "net"), "/invocations", split(rows), query="details=true").json
    assert details["decision"] == [int(row["p"] >= THRESHOLD) for row in wanted.json["predictions"]]
