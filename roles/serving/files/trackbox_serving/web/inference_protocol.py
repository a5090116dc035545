"""The Open Inference Protocol, version 2, over HTTP: https://github.com/kserve/open-inference-protocol.

Each column of the model's signature is an input, a tensor of n rows. A client may also send a single tensor of any name
that has n rows and all columns of the signature.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pandas as pd

from trackbox_serving.bodies.json_rows import plain
from trackbox_serving.models.scorer import Column
from trackbox_serving.web.answers import Answer, RefusedError, json_answer
from trackbox_serving.web.envelope import Call, Handler
from trackbox_serving.web.reasons import MODEL
from trackbox_serving.web.service import Scored, Service

TYPES = {"double": "FP64", "float": "FP32", "long": "INT64", "integer": "INT32", "boolean": "BOOL"}
NUMBERS = {"FP64", "FP32", "FP16", "INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8"}
LIBRARY = "trackbox"


class InferenceProtocol:
    """The handlers of `/v2`."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def route(self, path: str) -> tuple[dict[str, Handler], str] | None:
        """Return the handlers of a path, and the name of the path in the metrics; None for an unknown path."""
        words = path.strip("/").split("/")[1:]
        about = self.service.about
        if words in ([], ["health", "live"], ["health", "ready"]):
            return {"GET": self.health if words else self.server}, "v2"
        if words[:1] != ["models"] or words[1:2] != [about.name]:
            return None
        rest = words[2:]
        if rest[:1] == ["versions"]:
            if rest[1:2] != [about.version]:
                return None
            rest = rest[2:]
        if rest == ["infer"]:
            return {"POST": self.infer}, "infer"
        if rest in ([], ["ready"]):
            return {"GET": self.ready if rest else self.model}, "v2"
        return None

    async def server(self, _: Call) -> Answer:
        """Metadata of the server."""
        from mlflow.version import VERSION

        return json_answer({"name": LIBRARY, "version": VERSION, "extensions": []})

    async def health(self, call: Call) -> Answer:
        """Report that the server is live or ready. It has loaded the model before it accepts requests."""
        return json_answer({call.path.rpartition("/")[2]: True})

    async def ready(self, _: Call) -> Answer:
        """Report that the model is ready."""
        return json_answer({"name": self.service.about.name, "ready": True})

    async def model(self, _: Call) -> Answer:
        """Metadata of the model."""
        about, columns = self.service.about, self.service.scorer.columns
        return json_answer(
            {
                "name": about.name,
                "versions": [about.version],
                "platform": "mlflow",
                "inputs": [
                    {"name": one.name, "datatype": TYPES.get(one.kind, "BYTES"), "shape": [-1]} for one in columns
                ],
                "outputs": [{"name": "predictions", "datatype": "FP64", "shape": [-1]}],
            }
        )

    async def infer(self, call: Call) -> Answer:
        """Score the rows of a request."""
        return await self.service.run(lambda: self.scored(call), len(call.body))

    def scored(self, call: Call) -> Answer:
        """Score the rows of a request, on the fast path if possible."""
        try:
            document = orjson.loads(call.body)
        except orjson.JSONDecodeError as error:
            raise RefusedError(400, "The body is no valid JSON.") from error
        if not isinstance(document, dict) or not isinstance(document.get("id", ""), str):
            raise RefusedError(400, "The body must be a JSON object, and its id a text.")
        matrix, frame = self.rows(document)
        scored = self.service.score(matrix) if matrix is not None else None
        scored = scored or self.score_frame(frame)
        about = self.service.about
        answer = {"model_name": about.name, "model_version": about.version, "outputs": outputs(scored.output)}
        if document.get("id"):
            answer["id"] = document["id"]
        self.service.log(scored, call.request_id, call.user, call.began)
        return json_answer(answer)

    def rows(self, document: dict[str, Any]) -> tuple[Any, pd.DataFrame]:
        """Return the rows as a matrix and as a table. The matrix is None if MLflow's functions must score them.

        Raise RefusedError if the document is malformed.
        """
        columns = self.service.scorer.columns
        if not columns:
            raise RefusedError(400, "The signature of this model has no named columns: use /invocations.")
        tensors = document.get("inputs")
        if not isinstance(tensors, list) or not tensors or not all(isinstance(one, dict) for one in tensors):
            raise RefusedError(400, "inputs must be a list of tensors.")
        if len(tensors) == 1 and len(columns) > 1:
            values = tensor(tensors[0], None)
            if values.ndim != 2 or values.shape[1] != len(columns):
                raise RefusedError(400, f"A single tensor must have the shape [rows, {len(columns)}].")
            if values.dtype.kind not in "fiu":
                raise RefusedError(400, "A single tensor must be of numbers.")
            self.service.check_count(len(values))
            frame = pd.DataFrame(values, columns=self.service.scorer.names)
        else:
            found = {one.get("name"): one for one in tensors if isinstance(one.get("name"), str)}
            if lacking := [column.name for column in columns if column.required and column.name not in found]:
                listed = ", ".join(lacking[:5]) + (" …" if len(lacking) > 5 else "")
                raise RefusedError(400, f"The inputs lack {len(lacking)} of {len(columns)} columns: {listed}.")
            arrays = {one.name: tensor(found[one.name], one).reshape(-1) for one in columns if one.name in found}
            if len({len(array) for array in arrays.values()}) != 1:
                raise RefusedError(400, "The tensors have different numbers of rows.")
            self.service.check_count(len(next(iter(arrays.values()))))
            frame = pd.DataFrame(arrays)
        if not len(frame):
            raise RefusedError(400, "The tensors have no rows.")
        return self.matrix(frame, columns), frame

    def matrix(self, frame: pd.DataFrame, columns: list[Column]) -> Any:
        """Return the rows as a matrix of float64, or None if MLflow's functions must score them."""
        if not self.service.scorer.predict or any(dtype.kind not in "fiu" for dtype in frame.dtypes):
            return None
        whole = [i for i, column in enumerate(columns) if column.kind != "double"]
        if any(frame.dtypes.iloc[i].kind == "f" for i in whole):
            return None
        matrix = frame.to_numpy(dtype=np.float64)
        return matrix if plain(matrix, whole, [i for i, one in enumerate(columns) if one.kind == "integer"]) else None

    def score_frame(self, frame: pd.DataFrame) -> Scored:
        """Score a table with MLflow's functions. Raise RefusedError if the model does not accept it."""
        kinds = {"double": np.float64, "float": np.float32}
        wanted = {
            one.name: kinds[one.kind]
            for one in self.service.scorer.columns
            if one.kind in kinds and one.name in frame and frame[one.name].dtype.kind in "fiu"
        }
        try:
            return Scored(self.service.scorer.pyfunc.predict(frame.astype(wanted)), frame, len(frame))
        except Exception as error:
            raise RefusedError(400, MODEL) from error


def tensor(given: dict[str, Any], column: Column | None) -> Any:
    """Return a tensor as an array, or raise RefusedError if it is malformed.

    `column` is the signature's column that the tensor is for, or None if the tensor contains all columns.
    """
    name = f"The tensor {column.name}" if column else "The tensor"
    kind, shape = given.get("datatype"), given.get("shape")
    if kind not in NUMBERS | {"BOOL", "BYTES"}:
        raise RefusedError(400, f"{name} has a datatype that the protocol does not know.")
    if not isinstance(shape, list) or not shape or not all(type(size) is int and size >= 0 for size in shape):
        raise RefusedError(400, f"{name} must have a shape of whole numbers.")
    data = given.get("data")
    types: Any = {"F": np.float64, "I": np.int64, "U": np.uint64}.get(kind[0], object)
    try:
        array = np.array(data, dtype=object).reshape(shape)
    except ValueError as error:
        raise RefusedError(400, f"{name} has not as many values as its shape says.") from error
    floats: set[type] = {int, float, type(None)}
    known: dict[str, set[type]] = {"F": floats, "I": {int}, "U": {int}, "BOOL": {bool}, "BYTES": {str}}
    allowed = known.get(kind) or known[kind[0]]
    if not set(map(type, array.ravel())) <= allowed:
        raise RefusedError(400, f"{name} has a value that is not of its datatype.")
    try:
        return array.astype(types)
    except (OverflowError, ValueError) as error:
        raise RefusedError(400, f"{name} has a value that is not of its datatype.") from error


def outputs(output: Any) -> list[dict[str, Any]]:
    """Return a model's output as tensors: one tensor for each column of a table, else a single tensor."""
    if isinstance(output, pd.DataFrame):
        return [written(str(name), output[name].to_numpy()) for name in output]
    return [written("predictions", np.asarray(output))]


def written(name: str, array: Any) -> dict[str, Any]:
    """Return an array as a tensor. Its data are a flat list, row by row."""
    names = {"f4": "FP32", "f8": "FP64", "i4": "INT32", "i8": "INT64", "b1": "BOOL"}
    kind = names.get(array.dtype.str[1:], "BYTES")
    flat = array.reshape(-1).tolist() if kind != "BYTES" else [str(value) for value in array.reshape(-1)]
    return {"name": name, "datatype": kind, "shape": list(array.shape), "data": flat}
