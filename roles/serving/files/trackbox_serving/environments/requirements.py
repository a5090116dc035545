"""Choose the lines of a model's requirements.txt for its environment. Lines other than names and versions are refused.

Installing a wheel runs no code, but a package may run code whenever Python starts (a .pth file) or imports it. So a
model that may not run code may choose versions, but only of packages that the default environment has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from trackbox_serving.follower.errors import Refused, sentence

# A line for uv: a name, extras and versions. Options, URLs, paths, environment variables and comments do not match.
VERSIONS = r"(?:==|~=|!=|<=|>=|<|>)[A-Za-z0-9.!+*_-]+"
LINE = re.compile(rf"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\[[a-z0-9,-]+\])?(?:{VERSIONS}(?:,{VERSIONS})*)?")
MOST_LINES, LONGEST_LINE = 500, 300

# Packages that a model may require, and the package in the serving environment that contains the same modules.
SAME = {"mlflow": "mlflow-skinny", "xgboost": "xgboost-cpu"}
# The library whose version matters, for each flavour. With another minor version of scikit-learn a model may fail to
# load or give other scores. XGBoost reads models of older versions. ONNX has no entry, because an ONNX file lists the
# operators that it needs.
LIBRARY = {"sklearn": "scikit-learn", "xgboost": "xgboost-cpu"}
READS_OLDER = "xgboost-cpu"

# The packages of the worker. Each environment has the default environment's versions of PINNED, and any versions of
# FREE. LOADING has the packages that load a flavour. skops is pinned, because it decides which types of a file are
# safe.
PINNED = (
    "gunicorn", "httptools", "mlflow-skinny", "orjson", "prometheus-client", "uvicorn", "uvicorn-worker", "uvloop",
)  # fmt: skip
FREE = ("numpy", "pandas", "pyarrow")
LOADING = {"sklearn": ("scikit-learn", "skops"), "xgboost": ("scikit-learn", "xgboost-cpu"), "onnx": ("onnxruntime",)}
EXACT = {*PINNED, "skops"}


def parse(text: str) -> dict[str, Requirement]:
    """Return the lines of a requirements.txt that apply on this machine. Raise Refused for an invalid line."""
    found = {}
    for line in text.splitlines():
        stripped = line.partition(" #")[0].strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            wanted = Requirement(stripped)
        except InvalidRequirement as error:
            raise Refused(f"The requirement {sentence(stripped, 80)} cannot be checked.") from error
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            found[stripped] = wanted
    return found


def package(wanted: Requirement) -> str:
    """Return the name that a requirement's package has in the serving environment."""
    name = canonicalize_name(wanted.name)
    return SAME.get(name, str(name))


def pin(wanted: Requirement) -> str:
    """Return the version of a requirement that is a single pin, or an empty string for any other requirement."""
    if len(wanted.specifier) != 1:
        return ""
    [only] = wanted.specifier
    return "" if only.operator not in ("==", "===") or only.version.endswith(".*") else str(only.version)


def matters(wanted: Requirement, found: str, flavour: str) -> bool:
    """Return whether to refuse a model because the installed version `found` does not satisfy a requirement.

    MLflow pins each package's version when a model is logged, and only warns if a model is loaded with another version.
    So a pin (==) matters only for the library of the model's flavour, and only in its first two numbers. A range was
    written by a person, so it matters. Models with code or pickles depend on every package, so each pin matters.
    """
    pinned = pin(wanted)
    if not pinned:
        return True
    if flavour and package(wanted) != LIBRARY.get(flavour):
        return False
    try:
        theirs, ours = Version(pinned).release[:2], Version(found).release[:2]
    except InvalidVersion:
        return True
    return ours < theirs if flavour and package(wanted) == READS_OLDER else ours != theirs


def line(said: str, wanted: Requirement, allow_extras: bool) -> str:
    """Return a requirement as a line for uv. Raise Refused if it contains more than names and versions.

    said: line in the model's requirements.txt.
    """
    extras = f"[{','.join(sorted(map(canonicalize_name, wanted.extras)))}]" if wanted.extras and allow_extras else ""
    text = f"{package(wanted)}{extras}{str(wanted.specifier).replace(' ', '')}"
    if wanted.url:
        raise Refused(f"The requirement {sentence(said, 80)} names an address, and packages come from the index.")
    if not LINE.fullmatch(text) or len(text) > LONGEST_LINE:
        raise Refused(f"The requirement {sentence(said, 80)} cannot be checked.")
    return text


def own_lines(
    wanted: Mapping[str, Requirement], flavour: str, installed: Callable[[str], str | None]
) -> tuple[list[str], list[str]]:
    """Return the lines that an environment must satisfy, and the pins that it satisfies if possible.

    flavour: the flavour of a model that contains only data, or an empty string for one that may run code.
    installed: returns the version of a package in the default environment, or None.
    """
    if len(wanted) > MOST_LINES:
        raise Refused(f"The model has more than {MOST_LINES} requirements.")
    needed, preferred = set(), set()
    for said, each in wanted.items():
        name = package(each)
        found = installed(name)
        text = line(said, each, not flavour)
        if flavour and found is None:
            raise Refused(
                f"The model needs {sentence(said, 60)} (installed: none), a package that could run code: set "
                "allow_code for it if you trust all who log."
            )
        if pin(each) and name == LIBRARY.get(flavour) == READS_OLDER:
            needed.add(f"{name}>={pin(each)}")
            preferred.add(text)
        # The model also accepts other versions, so the environment gets this one only if all other packages allow it.
        elif pin(each) and exchangeable(each, found, flavour):
            preferred.add(text)
        else:
            needed.add(text)
    needed.update(f"skops=={installed('skops')}" if name == "skops" else name for name in LOADING.get(flavour, ()))
    return sorted(needed), sorted(preferred)


def exchangeable(wanted: Requirement, found: str | None, flavour: str) -> bool:
    """Return whether a model may also be served with a version other than the pinned one. See `matters`."""
    name = package(wanted)
    if flavour:
        return name != LIBRARY.get(flavour)
    return name in EXACT and found is not None and not matters(wanted, found, flavour)


def checked(lines: tuple[str, ...]) -> list[str]:
    """Return the lines. Raise Refused if a line does not have the form of LINE."""
    for text in lines:
        if not LINE.fullmatch(text) or len(text) > LONGEST_LINE:
            raise Refused(f"The requirement {sentence(text, 80)} is not a name with versions.")
    if len(lines) > MOST_LINES:
        raise Refused(f"The model has more than {MOST_LINES} requirements.")
    return list(lines)
