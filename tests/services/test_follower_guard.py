"""If a package's version differs from the model's requirement, the model is refused, or the difference is reported."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

pytest.importorskip("yaml")
from trackbox_serving.environments import requirements
from trackbox_serving.environments.place import Needs
from trackbox_serving.follower import guard
from trackbox_serving.follower.errors import Refused

INSTALLED = {
    "scikit-learn": "1.9.1",
    "numpy": "2.5.5",
    "mlflow-skinny": "3.17.2",
    "xgboost-cpu": "3.4.1",
    "onnxruntime": "1.32.0",
    "skops": "0.14.0",
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
    assert guard.check_pins(needs(tmp_path, line), flavour, own_environments=True) == ([], Needs())


@pytest.mark.parametrize(
    ("flavour", "line"),
    [
        # Either only the last number of the version differs, or the package does not affect the model's scores.
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
    [said], own = guard.check_pins(needs(tmp_path, line), flavour, own_environments=True)
    assert not own
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
        guard.check_pins(needs(tmp_path, line), flavour, own_environments=False)
    assert f"lacks what the model needs: {line[:59]}" in str(refused.value)
    assert "(installed: " in str(refused.value)


@pytest.mark.parametrize(
    ("flavour", "lines", "needed", "preferred"),
    [
        # The pin of the model's library must be satisfied. All other pins are satisfied if possible.
        (
            "sklearn",
            ["mlflow==2.22.0", "scikit-learn==1.8.0", "numpy==2.4.6"],
            ["scikit-learn", "scikit-learn==1.8.0", "skops==0.14.0"],
            ["mlflow-skinny==2.22.0", "numpy==2.4.6"],
        ),
        # A range must be satisfied, unlike a pin. The extra is removed, because it would add packages.
        ("sklearn", ["NumPy[all] <2, >=1.26"], ["numpy<2,>=1.26", "scikit-learn", "skops==0.14.0"], []),
        (
            "xgboost",
            ["numpy<2", "xgboost==2.1.4"],
            ["numpy<2", "scikit-learn", "xgboost-cpu", "xgboost-cpu>=2.1.4"],
            ["xgboost-cpu==2.1.4"],
        ),
        ("onnx", ["onnxruntime<1.20"], ["onnxruntime", "onnxruntime<1.20"], []),
        # A model that may run code gets all packages that it pins, except that it gets the server's version of MLflow.
        (
            "",
            ["lightgbm[pandas]==4.6.0", "numpy==2.5.1", "mlflow==3.17.0", "gone==1; python_version < '3'"],
            ["lightgbm[pandas]==4.6.0", "numpy==2.5.1"],
            ["mlflow-skinny==3.17.0"],
        ),
        ("", ["numpy==2.4.6", "mlflow==2.22.0"], ["mlflow-skinny==2.22.0", "numpy==2.4.6"], []),
    ],
)
def test_what_the_default_environment_lacks_is_asked_for(
    tmp_path: Path, flavour: str, lines: list[str], needed: list[str], preferred: list[str]
) -> None:
    wanted = Needs(tuple(needed), tuple(preferred))
    assert guard.check_pins(needs(tmp_path, *lines), flavour, own_environments=True) == ([], wanted)
    assert requirements.checked(wanted.requirements) == needed


def test_a_model_that_may_not_run_code_adds_no_package(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"needs lightgbm==4\.6\.0 \(installed: none\), a package that could run code"):
        guard.check_pins(needs(tmp_path, "lightgbm==4.6.0"), "sklearn", own_environments=True)


@pytest.mark.parametrize("flavour", ["sklearn", ""])
@pytest.mark.parametrize(
    "line",
    [
        "scikit-learn @ https://example.org/scikit_learn.whl",
        "scikit-learn @ git+https://example.org/scikit-learn",
        "scikit-learn @ file:///etc",
        "--index-url https://example.org",
        "--extra-index-url=https://example.org",
        "-e .",
        "./scikit_learn-1.9.1.whl",
        "scikit-learn==1.8.0 --hash=sha256:00",
        "scikit-learn===1.8.0",
        "scikit-learn==${HOME}",
        "scikit-learn==1.8.0 \\",
    ],
)
def test_a_line_that_is_more_than_names_and_versions_is_refused(tmp_path: Path, flavour: str, line: str) -> None:
    with pytest.raises(Refused, match=r"cannot be checked|names an address"):
        guard.check_pins(needs(tmp_path, line, "numpy<2"), flavour, own_environments=True)


@pytest.mark.parametrize(
    "line", ["-e .", "x @ https://example.org/x.whl", "x==1 --hash=y", "x\n-e .", "", "X", "x==$Y"]
)
def test_the_installer_checks_each_line_again(line: str) -> None:
    with pytest.raises(Refused, match="is not a name with versions"):
        requirements.checked(("x==1", line))


def test_an_environment_has_the_packages_of_the_default_one() -> None:
    text = (Path(__file__).parents[2] / "roles/serving/files/requirements.in").read_text()
    names = {line.partition("==")[0] for line in text.splitlines() if line and not line.startswith("#")}
    ours = {*requirements.PINNED, *requirements.FREE}.union(*requirements.LOADING.values())
    assert ours == names


@pytest.mark.parametrize("line", ["-r other.txt", "numpy = 1", "https://example.org/x.whl"])
def test_a_line_that_cannot_be_checked_is_a_reason_to_refuse(tmp_path: Path, line: str) -> None:
    with pytest.raises(Refused, match="cannot be checked"):
        guard.check_pins(needs(tmp_path, line), "sklearn", own_environments=True)


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
