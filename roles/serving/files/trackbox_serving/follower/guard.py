"""Check a downloaded model before its unit starts: our list of flavours and types, and the serving environment."""

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
from packaging.requirements import InvalidRequirement, Requirement

import trackbox_serving
from trackbox_serving.follower.errors import Refused, Unavailable, sentence

PROGRAM = Path(trackbox_serving.__file__).parents[1]
ENVIRONMENT = Path(sys.prefix).name
# A distribution that brings the same modules as another.
SAME = {"mlflow": "mlflow-skinny", "xgboost": "xgboost-cpu"}
# trackbox_serving.models.allowed has the list. It runs in a process of its own: it reads somebody else's file, and
# importing skops takes 1 s and 150 MB.
CHECK = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from trackbox_serving.models import allowed
folder, allow_code = Path(sys.argv[2]), sys.argv[3] == "True"
problem = ""
try:
    with allowed.safe_copy(folder, allow_code):
        flavours = allowed.read_description(folder)["flavors"]
    if not allow_code and "sklearn" in flavours:
        import skops.io
        types = skops.io.get_untrusted_types(file=folder / str(flavours["sklearn"]["pickled_model"]))
        if unknown := sorted(set(types) - set(allowed.TRUSTED)):
            problem = "The model has types that are not on Trackbox's list: " + ", ".join(unknown)
except allowed.ModelError as error:
    problem = str(error)
print(json.dumps(problem))
"""


def check(folder: Path, allow_code: bool) -> None:
    """Refuse a model that the workers must not load, or whose requirements their environment does not satisfy."""
    check_loading(folder, allow_code)
    check_python(folder)
    check_pins(folder)
    if not (folder / "serving_input_example.json").is_file():
        raise Refused("The model has no input example to prove itself with: log it with input_example.")


def check_loading(folder: Path, allow_code: bool) -> None:
    """Refuse a model with a flavour, class, type or file that is not on our list."""
    command = [sys.executable, "-I", "-W", "ignore", "-c", CHECK, str(PROGRAM), str(folder), str(allow_code)]
    environment = {"HOME": "/nonexistent"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    except subprocess.TimeoutExpired as error:
        raise Refused("The model's files were not read within 120 s.") from error
    if done.returncode < 0:
        raise Unavailable(f"The check of the model's files was ended by signal {-done.returncode}.")
    if done.returncode:
        raise Refused(f"The model's files cannot be read: {sentence((done.stderr.splitlines() or [''])[-1], 160)}")
    if problem := json.loads(done.stdout.splitlines()[-1]):
        raise Refused(sentence(problem.replace(f"{folder}/", "")))


def description(folder: Path) -> dict[str, Any]:
    """Return what MLmodel says; empty where it says nothing."""
    with contextlib.suppress(OSError, yaml.YAMLError, UnicodeDecodeError, RecursionError):
        found = yaml.safe_load((folder / "MLmodel").read_text())
        return found if isinstance(found, dict) else {}
    return {}


def threshold(folder: Path) -> float | None:
    """Return the score from which on the model decides for 1; None where its metadata has none."""
    metadata = description(folder).get("metadata")
    value = metadata.get("threshold") if isinstance(metadata, dict) else None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def column_types(folder: Path) -> dict[str, str]:
    """Return the type of each column of the signature, by its name; empty without a signature of columns."""
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
        inputs = json.loads(description(folder)["signature"]["inputs"])
        return {str(each["name"]): str(each["type"]) for each in inputs if "name" in each}
    return {}


def check_python(folder: Path) -> None:
    """Refuse a model of another minor version of Python than the workers'."""
    stated = ""
    with contextlib.suppress(OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        stated = str(description(folder)["flavors"]["python_function"].get("python_version") or "")
        stated = str(yaml.safe_load((folder / "python_env.yaml").read_text()).get("python") or stated)
    minor = re.match(r"\d+\.\d+", stated)
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if minor and minor[0] != ours:
        raise Refused(f"The model was made with Python {sentence(stated, 20)}, and this machine has Python {ours}.")


def check_pins(folder: Path) -> None:
    """Refuse a model whose requirements the serving environment does not satisfy."""
    path = folder / "requirements.txt"
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    lacking = []
    for line in lines:
        text = line.partition(" #")[0].strip()
        if not text or text.startswith("#"):
            continue
        try:
            wanted = Requirement(text)
        except InvalidRequirement as error:
            raise Refused(f"The requirement {sentence(text, 80)} cannot be checked.") from error
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        found = installed(wanted.name)
        if wanted.url or found is None or not wanted.specifier.contains(found, prereleases=True):
            lacking.append(f"{sentence(text, 60)} (installed: {found or 'none'})")
    if lacking:
        raise Refused(f"The serving environment lacks what the model needs: {sentence(', '.join(lacking), 220)}.")


def installed(name: str) -> str | None:
    """Return the version of a distribution of this environment, which the workers have too; None without it."""
    for candidate in (name, SAME.get(name.lower().replace("_", "-"), name)):
        with contextlib.suppress(PackageNotFoundError):
            return version(candidate)
    return None
