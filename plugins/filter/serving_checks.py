"""Filters about served models: the list of models with its defaults, checks of the settings, and pending upgrades."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

# The oldest version of Python for which roles/serving/files/requirements.in locks packages.
OLDEST_PYTHON = (3, 11)
ALIAS = re.compile(r"[\w.-]{1,255}")
# The maximum length in bytes of a model's name. The path of a Unix socket is limited to 107 bytes, and
# /run/trackbox-serving/NAME/VERSION.sock contains the name, as does its temporary name.
LONGEST = 60
# The minimum of each setting. A process uses 250 MB of memory before it has loaded a model.
LEAST = {
    "serving_drain_seconds": 1,
    "serving_environment_seconds": 1,
    "serving_environments_disk_mb": 256,
    "serving_load_seconds": 1,
    "serving_log_disk_mb": 1,
    "serving_log_queue": 1,
    "serving_max_body_mb": 1,
    "serving_max_model_mb": 1,
    "serving_max_rows": 1,
    "serving_max_waiting": 1,
    "serving_poll_seconds": 1,
    "serving_process_memory_mb": 512,
    "serving_processes": 1,
    "serving_replay_rows": 0,
    "serving_requests_at_once": 1,
    "serving_requests_per_second": 1,
}


def served_models(models: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return `serving_models` with the defaults: the alias `champion`, and `allow_code` false."""
    return [
        {
            "name": str(model["name"]),
            "alias": str(model.get("alias") or "champion"),
            "allow_code": str(model.get("allow_code", False)).lower() in ("true", "yes", "1"),
        }
        for model in models
    ]


def served_models_problems(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return an error message for each entry of `serving_models` that cannot be served."""
    problems = []
    for model in served_models(models):
        name = model["name"]
        if not name or name[0] in ".-" or any(letter in "/:\\\"'$;{}" or not letter.isprintable() for letter in name):
            problems.append(
                f"serving_models: {name!r} cannot be served: a name has none of / : \\ \" ' $ ; {{ }}, and begins with "
                "neither a dot nor a hyphen."
            )
        elif name == "v2":
            problems.append("serving_models: v2 is the address of the Open Inference Protocol: register another name.")
        elif len(quote(name, safe="")) > LONGEST:
            problems.append(
                f"serving_models: {name!r} is too long: it may have {LONGEST} bytes where letters that are not ASCII, "
                "and spaces, count three each."
            )
        if not ALIAS.fullmatch(model["alias"]):
            problems.append(f"serving_models: {model['alias']!r} cannot be an alias: take letters, digits and . _ -.")
    for name, times in Counter(str(model["name"]) for model in models).items():
        if times > 1:
            problems.append(f"serving_models: {name} is there {times} times: remove all but one.")
    return problems


def serving_problems(settings: Mapping[str, Any]) -> list[str]:
    """Return an error message for each setting with which models cannot be served.

    settings: the role's variables, and those that it shares with NGINX.
    """
    problems = served_models_problems(settings["serving_models"])
    return problems + [
        f"{name} is {settings[name]}: it must be {least} or more."
        for name, least in LEAST.items()
        if int(settings[name]) < least
    ]


def serving_pending(found: Mapping[str, str], wanted: Mapping[str, str], lock: Sequence[Sequence[str]]) -> list[str]:
    """Return a line for each part of serving that upgrade.yml has to upgrade; an empty list if there is none.

    The parts are the packages and the program. A line contains `OLD -> NEW`, or says that an upgrade was interrupted.
    found: the output of files/installed. If it names no environment, site.yml has not installed serving yet.
    wanted: the folders of this checkout's `environment` and `program`. lock: name and version of each of its packages.
    """
    if not found.get("environment"):
        return []
    lines = []
    for part, words in (("environment", "packages of serving"), ("program", "program of serving")):
        old, new = found.get(part, "none"), wanted[part]
        if old != new:
            changes = package_changes(found.get("packages", ""), lock) if part == "environment" else ""
            lines.append(f"{words} {old.rpartition('-')[2]} -> {new.rpartition('-')[2]}{changes}")
    if not lines and "interrupted" in found:
        lines.append(f"program of serving {wanted['program'].rpartition('-')[2]}, whose upgrade was interrupted")
    return lines


def package_changes(installed: str, lock: Sequence[Sequence[str]]) -> str:
    """Return at most six packages with their old and new versions, in parentheses; empty if none differs.

    installed: names of folders NAME-VERSION.dist-info. lock: name and version of each package; a package can occur
    twice, for different versions of Python.
    """
    pairs = (folder.removesuffix(".dist-info").rpartition("-") for folder in installed.split())
    before = {re.sub(r"[-_.]+", "-", name).lower(): version for name, _, version in pairs}
    after: dict[str, list[str]] = {}
    for name, version in lock:
        after.setdefault(name, []).append(version)
    changes = [
        f"{name} {before.get(name, 'none')} -> {' or '.join(after.get(name, ['none']))}"
        for name in sorted(before | after)
        if before.get(name) not in after.get(name, ["none"])
    ]
    if not before or not changes:
        return ""
    more = [f"{len(changes) - 6} more"] if len(changes) > 6 else []
    return f" ({', '.join(changes[:6] + more)})"


def serving_python_problems(python: Mapping[str, Any], host: str) -> list[str]:
    """Return an error message if the machine's Python is older than the packages for serving need.

    python: `ansible_facts.python`.
    """
    found = (int(python["version"]["major"]), int(python["version"]["minor"]))
    if found >= OLDEST_PYTHON:
        return []
    ours, theirs = (".".join(map(str, version)) for version in (OLDEST_PYTHON, found))
    return [
        f"{host} has Python {theirs}, and the packages that serve models need {ours} or newer: take a newer "
        "distribution, or take the machine out of the group training, with which serving comes."
    ]


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return a mapping from the name of each filter to its function."""
        return {
            "served_models": served_models,
            "serving_pending": serving_pending,
            "serving_problems": serving_problems,
            "serving_python_problems": serving_python_problems,
        }
