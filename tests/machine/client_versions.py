"""Register a model version of each kind, and print the versions' numbers by kind, as JSON.

client_versions.py MODEL PYTHON KIND...

PYTHON  the version of Python in the models' metadata, because this program's Python differs from the machine's
KIND    `good:WEIGHT` or `nan`: a working model
        a key of CHANGED: a model with this change, which breaks most of the models
        an action of hostile_model.py: a pickle that runs this action when it is loaded
"""

from __future__ import annotations

import json
import os
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "services"))
from registered import Registry

Change = Callable[[Path], None]
HOSTILE = Path(__file__).with_name("hostile_model.py").read_text()


def describe(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the file MLmodel, which describes a model."""
    path = folder / "MLmodel"
    description = yaml.safe_load(path.read_text())
    change(description)
    path.write_text(yaml.safe_dump(description))


def claim(folder: Path, python: str) -> None:
    """Write a version of Python into a model's metadata."""
    describe(folder, lambda found: found["flavors"]["python_function"].update(python_version=python))
    path = folder / "python_env.yaml"
    path.write_text(re.sub(r"python: .*", f"python: {python}", path.read_text()))


def flip_a_bit(folder: Path) -> None:
    """Change one bit in the middle of the model's file."""
    path = folder / "model.skops"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def wrong_signature(folder: Path) -> None:
    """Add a column to signature and example that the model does not accept."""
    path = folder / "serving_input_example.json"
    example = json.loads(path.read_text())["dataframe_split"]
    example = {"columns": [*example["columns"], "c"], "data": [[*row, 1.0] for row in example["data"]]}
    path.write_text(json.dumps({"dataframe_split": example}))

    def change(found: dict[str, Any]) -> None:
        columns = json.loads(found["signature"]["inputs"])
        columns.append({"type": "double", "name": "c", "required": True})
        found["signature"]["inputs"] = json.dumps(columns)

    describe(folder, change)


def unknown_flavour(folder: Path) -> None:
    """Set a loader module that does not exist."""
    describe(folder, lambda found: found["flavors"]["python_function"].update(loader_module="mlflow.nonsense"))


def require(line: str) -> Change:
    """Return a change that makes a line the only requirement of a model."""

    def change(folder: Path) -> None:
        (folder / "requirements.txt").write_text(f"{line}\n")

    return change


def pickled(action: str, argument: str = "") -> Change:
    """Return a change that replaces the model by a pickle, which runs hostile_model.py when it is loaded."""

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str, dict[str, object]]]:
            # exec returns None, so the program stores the model in its variable `model`.
            given = {"action": action, "argument": argument}
            return eval, (f"(exec({HOSTILE!r}, given), given['model'])[1]", {"given": given})

    def change(folder: Path) -> None:
        (folder / "model.skops").rename(folder / "model.pkl")
        (folder / "model.pkl").write_bytes(pickle.dumps(Hostile()))

        def pickle_flavour(found: dict[str, Any]) -> None:
            flavours = found["flavors"]
            flavours["sklearn"].update(pickled_model="model.pkl", serialization_format="cloudpickle")
            flavours["sklearn"].pop("skops_trusted_types", None)
            flavours["python_function"].update(model_path="model.pkl", predict_fn="predict")

        describe(folder, pickle_flavour)
        require("scikit-learn")(folder)
        # Delete the example scores, because the pickle predicts other scores than the original model.
        (folder / "example_scores.json").unlink()

    return change


CHANGED: dict[str, Change] = {
    "signature": wrong_signature,
    "flavour": unknown_flavour,
    "bit": flip_a_bit,
    "missing": lambda folder: (folder / "model.skops").unlink(),
    "no-mlmodel": lambda folder: (folder / "MLmodel").unlink(),
    "no-package": require("no-such-package-of-trackbox==1.0"),
    "other-version": require("scikit-learn==0.24.1"),
    "older-library": require("scikit-learn==1.8.0"),
    "url": require("scikit-learn @ https://packages.example.org/scikit_learn-1.9.1.whl"),
    "pickle": pickled("nothing"),
}


def main() -> None:
    """Register the versions that the arguments name."""
    name, python, *kinds = sys.argv[1:]
    registry, found = Registry(os.environ["MLFLOW_TRACKING_URI"], name), {}
    for kind in kinds:
        word, _, argument = kind.partition(":")
        weight = float(argument) if word == "good" else float("nan") if word == "nan" else 1.0
        change = CHANGED.get(word) or (None if word in ("good", "nan") else pickled(word, argument))

        def changed(folder: Path, change: Change | None = change, word: str = word) -> None:
            if word != "no-mlmodel":
                claim(folder, python)
            if change:
                change(folder)

        found[kind] = registry.add(changed, weight=weight)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
