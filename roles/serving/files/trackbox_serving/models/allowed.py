"""Check whether a model may be loaded: its files must contain only data.

MLflow's own loaders import the module and the class that the file MLmodel names, add the model's folder `code` to the
import path, unpickle files, and let skops load all types that the model itself declares as trusted. So anyone who may
register a version could run code in this process. Therefore MLflow's loader gets an MLmodel that was checked and
changed here.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import yaml

LOADERS = {"mlflow.xgboost", "mlflow.sklearn", "mlflow.onnx"}

XGBOOST_CLASSES = {"xgboost.core.Booster"} | {
    f"xgboost.sklearn.XGB{kind}" for kind in ("Classifier", "Regressor", "Ranker", "RFClassifier", "RFRegressor")
}

#: Types in models that are safe to load, but are not on skops' own list.
TRUSTED = [
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.LogLink",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfMultinomialLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn._loss.loss.HalfPoissonLoss",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
]


class ModelError(Exception):
    """A model that must not or cannot be served; the message is one sentence for the operator."""


@contextmanager
def safe_copy(folder: Path, allow_code: bool) -> Iterator[Path]:
    """Yield a folder with links to the model's files, from which MLflow's loader may load the model.

    The folder has its own MLmodel, with our list of trusted types, without code, and with one thread for each ONNX
    session, because threads do not survive a fork.

    Args:
        folder: MLflow's folder of the model, with the file MLmodel.
        allow_code: whether code that was logged with the model may run. If so, the folder itself is yielded, or a copy
            if MLflow would misread the folder's path.

    Raises:
        ModelError: the description is broken, or the model is not only data.

    """
    description = read_description(folder)
    if allow_code:
        # MLflow decodes a path like a URL, so `%20` becomes a space. Copy the folder: MLflow would not follow a link.
        with tempfile.TemporaryDirectory(prefix="model-") if "%" in str(folder) else nullcontext() as copy:
            yield shutil.copytree(folder, Path(copy, "model")) if copy else folder
        return
    flavours = description["flavors"]
    function = flavours["python_function"]
    loader = function["loader_module"]
    if loader not in LOADERS:
        raise ModelError(f"The model runs code of its own ({loader}): set allow_code for it if you trust all who log.")
    name = loader.removeprefix("mlflow.")
    flavour = flavours.get(name)
    if not isinstance(flavour, dict):
        raise ModelError(f"The model has no flavour {name}, which its loader reads.")
    if function.get("code") or flavour.get("code"):
        raise ModelError("The model brings a folder of code: set allow_code for it if you trust all who log.")
    {"xgboost": check_xgboost, "sklearn": check_sklearn, "onnx": check_onnx}[name](folder, flavour, function)
    description["flavors"] = {name: flavour, "python_function": function}
    with tempfile.TemporaryDirectory(prefix="model-") as copy:
        for path in folder.iterdir():
            if path.name != "MLmodel":
                Path(copy, path.name).symlink_to(path.absolute())
        Path(copy, "MLmodel").write_text(yaml.safe_dump(description))
        yield Path(copy)


def read_description(folder: Path) -> dict[str, Any]:
    """Read the file MLmodel. Raise ModelError if it is missing or broken, or names no module that loads the model."""
    try:
        description = yaml.safe_load((folder / "MLmodel").read_text())
        if isinstance(description["flavors"]["python_function"]["loader_module"], str):
            found: dict[str, Any] = description
            return found
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ModelError(f"{folder}/MLmodel cannot be read: {type(error).__name__}.") from error
    raise ModelError(f"{folder}/MLmodel names no module that loads the model.")


def check_file(folder: Path, first: Any, second: Any) -> Path:
    """Return the file that both flavours name. Raise ModelError for two files, or one outside the model's folder."""
    path = folder / str(first)
    if first != second or not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise ModelError(f"The flavours of the model name {first!r} and {second!r}: not one file in its folder.")
    return path


def check_xgboost(folder: Path, flavour: dict[str, Any], function: dict[str, Any]) -> None:
    """Check the file and the class that mlflow.xgboost reads."""
    kind = flavour.get("model_class", "xgboost.core.Booster")
    if kind not in XGBOOST_CLASSES:
        raise ModelError(f"{kind!r} is no class of XGBoost that may be loaded.")
    if check_file(folder, flavour.get("data"), function.get("data")).suffix not in (".ubj", ".json"):
        raise ModelError("An XGBoost model must be saved as UBJ or JSON: log it with model_format='ubj'.")


def check_sklearn(folder: Path, flavour: dict[str, Any], function: dict[str, Any]) -> None:
    """Check what mlflow.sklearn reads, and replace the model's list of trusted types by ours."""
    if flavour.get("serialization_format") != "skops":
        raise ModelError("Only skops is safe to load: log the model with serialization_format='skops'.")
    if "data" in function:
        raise ModelError("The flavour python_function names a file that the flavour sklearn does not have.")
    check_file(folder, flavour.get("pickled_model"), function.get("model_path"))
    flavour["skops_trusted_types"] = TRUSTED


def check_onnx(folder: Path, flavour: dict[str, Any], function: dict[str, Any]) -> None:
    """Check what mlflow.onnx reads, and replace the model's options, which may name libraries to load."""
    check_file(folder, flavour.get("data"), function.get("data"))
    flavour["onnx_session_options"] = {"intra_op_num_threads": 1, "inter_op_num_threads": 1}
    flavour["providers"] = ["CPUExecutionProvider"]
