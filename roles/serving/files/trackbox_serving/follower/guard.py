"""Check a downloaded model before its unit starts: whether it is safe to load, and fits the serving environment."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

import trackbox_serving
from trackbox_serving.environments import requirements
from trackbox_serving.environments.place import PYTHON, Needs
from trackbox_serving.follower.errors import Refused, Unavailable, sentence

PROGRAM = Path(trackbox_serving.__file__).parents[1]
ENVIRONMENT = Path(sys.prefix).name
# This check runs in its own process, because it reads an untrusted file, and because importing skops takes 1 s and
# 150 MB. trackbox_serving.models.allowed contains the list of allowed types.
CHECK = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from trackbox_serving.models import allowed
folder = Path(sys.argv[2])
problem, flavour = "", ""
try:
    with allowed.safe_copy(folder, False):
        flavours = allowed.read_description(folder)["flavors"]
    flavour = flavours["python_function"]["loader_module"].removeprefix("mlflow.")
    if flavour == "sklearn":
        import skops.io
        types = skops.io.get_untrusted_types(file=folder / str(flavours["sklearn"]["pickled_model"]))
        if unknown := sorted(set(types) - set(allowed.TRUSTED)):
            problem = "The model has types that are not on Trackbox's list: " + ", ".join(unknown)
except allowed.ModelError as error:
    problem = str(error)
print(json.dumps([problem, flavour]))
"""


def check(folder: Path, allow_code: bool, own_environments: bool = False) -> tuple[str, Needs]:
    """Refuse a model that the workers must not load, or whose requirements cannot be satisfied.

    Return the unsatisfied requirements of a model that is served nevertheless, as text, and the packages of the model's
    own environment. Both may be empty. own_environments: whether a model may have its own environment.
    """
    flavour = check_loading(folder, allow_code)
    python = check_python(folder, flavour)
    differing, needs = check_pins(folder, flavour, own_environments)
    if not (folder / "serving_input_example.json").is_file():
        raise Refused("The model has no input example to check it with: log it with input_example.")
    return sentence(", ".join([*python, *differing])), needs


def check_loading(folder: Path, allow_code: bool) -> str:
    """Return the flavour of a model that contains only data. If it contains code that may run, return an empty string.

    Raise Refused if the model may not run code and has a flavour, class, type or file that is not on our list.
    """
    command = [sys.executable, "-I", "-W", "ignore", "-c", CHECK, str(PROGRAM), str(folder)]
    environment = {"HOME": "/nonexistent"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    except subprocess.TimeoutExpired as error:
        raise Refused("The model's files were not read within 120 s.") from error
    if done.returncode < 0:
        raise Unavailable(f"The check of the model's files was ended by signal {-done.returncode}.")
    if done.returncode:
        problem = f"The model's files cannot be read: {sentence((done.stderr.splitlines() or [''])[-1], 160)}"
    else:
        problem, flavour = json.loads(done.stdout.splitlines()[-1])
        if not problem:
            return str(flavour)
    if allow_code:
        return ""
    raise Refused(sentence(problem.replace(f"{folder}/", "")))


def description(folder: Path) -> dict[str, Any]:
    """Return the content of the file MLmodel, or an empty dictionary if it cannot be read."""
    with contextlib.suppress(OSError, yaml.YAMLError, UnicodeDecodeError, RecursionError):
        found = yaml.safe_load((folder / "MLmodel").read_text())
        return found if isinstance(found, dict) else {}
    return {}


def threshold(folder: Path) -> float | None:
    """Return the decision threshold in the model's metadata, or None if it contains none."""
    metadata = description(folder).get("metadata")
    value = metadata.get("threshold") if isinstance(metadata, dict) else None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def column_types(folder: Path) -> dict[str, str]:
    """Return the types of the signature's columns by name. The result is empty if the signature names no columns."""
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
        inputs = json.loads(description(folder)["signature"]["inputs"])
        return {str(each["name"]): str(each["type"]) for each in inputs if "name" in each}
    return {}


def check_python(folder: Path, flavour: str) -> list[str]:
    """Return the model's Python version as text if its minor version differs. If the model has code, raise Refused."""
    stated = ""
    with contextlib.suppress(OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        stated = str(description(folder)["flavors"]["python_function"].get("python_version") or "")
        stated = str(yaml.safe_load((folder / "python_env.yaml").read_text()).get("python") or stated)
    minor = re.match(r"\d+\.\d+", stated)
    if not minor or minor[0] == PYTHON:
        return []
    if not flavour:
        raise Refused(f"The model was made with Python {sentence(stated, 20)}, and this machine has Python {PYTHON}.")
    return [f"Python {sentence(stated, 20)} (installed: {PYTHON})"]


def check_pins(folder: Path, flavour: str, own_environments: bool = False) -> tuple[list[str], Needs]:
    """Compare the model's requirements with the default environment.

    Return the unsatisfied requirements that are no reason to refuse the model. If a requirement is such a reason,
    return the packages of the model's own environment instead, or raise Refused if `own_environments` is false.
    """
    path = folder / "requirements.txt"
    wanted = requirements.parse(path.read_text(errors="replace")) if path.is_file() else {}
    lacking: list[str] = []
    differing: list[str] = []
    for text, each in wanted.items():
        found = installed(requirements.package(each))
        if not each.url and found and each.specifier.contains(found, prereleases=True):
            continue
        kept = lacking if not found or each.url or requirements.matters(each, found, flavour) else differing
        kept.append(f"{sentence(text, 60)} (installed: {found or 'none'})")
    if lacking and own_environments:
        needed, preferred = requirements.own_lines(wanted, flavour, installed)
        return [], Needs(tuple(needed), tuple(preferred))
    if lacking:
        raise Refused(f"The serving environment lacks what the model needs: {sentence(', '.join(lacking), 220)}.")
    return differing, Needs()


def installed(name: str) -> str | None:
    """Return the version of a package in the default environment, or None if it is not installed."""
    with contextlib.suppress(PackageNotFoundError):
        return version(name)
    return None
