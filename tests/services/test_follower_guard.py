"""If a package's version differs from the model's requirement, the model is refused, or the difference is reported."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

pytest.importorskip("yaml")
from trackbox_serving.follower import guard
from trackbox_serving.follower.errors import Refused

INSTALLED = {
    "scikit-learn": "1.9.1",
    "numpy": "2.5.5",
    "mlflow-skinny": "3.17.2",
    "xgboost-cpu": "3.4.1",
    "onnxruntime": "1.32.0",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate an environment in which only the packages of INSTALLED are installed."""
    monkeypatch.setattr(guard, "version", installed)


def installed(name: str) -> str:
    """Return the version of a package, as importlib.metadata does."""
    if name in INSTALLED:
        return INSTALLED[name]
    raise PackageNotFoundError(name)


def needs(folder: Path, *lines: str) -> Path:
    """Write these lines to requirements.txt of a model's folder; return the folder."""
    (folder / "requirements.txt").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize(
    ("flavour", "line"),
    [
        ("sklearn", "scikit-learn==1.9.1"),
        ("sklearn", "scikit-learn"),
        ("sklearn", "mlflow==3.17.2"),
        ("sklearn", "scikit-learn>=1.9,<2"),
        ("xgboost", "xgboost==3.4.1"),
        ("", "numpy==2.5.5  # of the day"),
        ("", "numpy==1.0; python_version < '3'"),
    ],
)
def test_what_the_environment_has_is_not_named(tmp_path: Path, flavour: str, line: str) -> None:
    assert guard.check_pins(needs(tmp_path, line), flavour) == []


@pytest.mark.parametrize(
    ("flavour", "line"),
    [
        # Only the last number of the version differs, or the model's scores do not depend on the package.
        ("sklearn", "scikit-learn==1.9.0"),
        ("sklearn", "numpy==1.26.4"),
        ("sklearn", "mlflow==2.22.0"),
        ("onnx", "onnxruntime==1.20.0"),
        # XGBoost loads models that older versions saved.
        ("xgboost", "xgboost==2.1.4"),
        ("xgboost", "xgboost-cpu==3.2.0"),
        ("", "numpy==2.5.1"),
    ],
)
def test_another_version_is_named_and_served(tmp_path: Path, flavour: str, line: str) -> None:
    [said] = guard.check_pins(needs(tmp_path, line), flavour)
    assert said.startswith(f"{line} (installed: ")


@pytest.mark.parametrize(
    ("flavour", "line"),
    [
        ("sklearn", "scikit-learn==1.8.0"),
        ("sklearn", "scikit_learn==2.9.1"),
        ("xgboost", "xgboost==3.5.0"),
        ("sklearn", "numpy<2"),
        ("sklearn", "numpy~=2.4.0"),
        ("sklearn", "lightgbm==4.6.0"),
        ("sklearn", "scikit-learn @ https://example.org/scikit_learn.whl"),
        ("", "numpy==2.4.6"),
        ("", "scikit-learn==1.9.*,!=1.9.1"),
    ],
)
def test_a_version_that_matters_is_a_reason_to_refuse(tmp_path: Path, flavour: str, line: str) -> None:
    with pytest.raises(Refused) as refused:
        guard.check_pins(needs(tmp_path, line), flavour)
    assert f"lacks what the model needs: {line[:59]}" in str(refused.value)
    assert "(installed: " in str(refused.value)


@pytest.mark.parametrize("line", ["-r other.txt", "numpy = 1", "https://example.org/x.whl"])
def test_a_line_that_cannot_be_checked_is_a_reason_to_refuse(tmp_path: Path, line: str) -> None:
    with pytest.raises(Refused, match="cannot be checked"):
        guard.check_pins(needs(tmp_path, line), "sklearn")


def test_python_matters_for_code_alone(tmp_path: Path) -> None:
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    path = tmp_path / "python_env.yaml"
    (tmp_path / "MLmodel").write_text("flavors: {python_function: {python_version: 3.1.1}}\n")
    path.write_text("python: 3.2.1\n")
    assert guard.check_python(tmp_path, "sklearn") == [f"Python 3.2.1 (installed: {ours})"]
    with pytest.raises(Refused, match=r"was made with Python 3\.2\.1, and this machine has Python"):
        guard.check_python(tmp_path, "")
    path.write_text(f"python: {ours}.99\n")
    assert guard.check_python(tmp_path, "") == []
