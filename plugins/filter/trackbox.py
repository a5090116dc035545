"""Filters that several roles use: checks of variables and ports, and small helpers."""

from __future__ import annotations

import datetime
import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

KINDS = {"bool": "true or false", "dict": "a mapping", "int": "a whole number", "list": "a list"}
BOOLEANS = {"true", "false", "yes", "no", "1", "0"}
# Types that YAML gives to text without quotes. The original text is then lost: 0123 becomes 83, and 1.10 becomes 1.1.
UNQUOTED = {bool: "true or false", int: "a number", float: "a number", datetime.date: "a date", bytes: "binary data"}
RENAMED = {"trackbox_object_folder": "minio_data_dir"}
# Variables that were removed, each with the reason that the error message gives. They named a database or an object
# store on another machine. No service can use another machine's database or store yet.
REMOVED = dict.fromkeys(
    ("mlflow_database_uri", "mlflow_artifacts_destination", "mlflow_s3_endpoint"),
    "MLflow keeps its data in the MySQL and the MinIO of its own machine",
)


def fits(value: Any, spec: Mapping[str, Any]) -> bool:
    """Return whether the value has the type that its specification declares.

    The texts `5` and `true` are accepted as a number and a boolean, because `-e name=value` passes text. Ansible's own
    validator also accepts the text `a,b` as a list, and a list as a text. This function refuses both, because the roles
    do not convert them.
    """
    if "choices" in spec:
        # Accept false as `off`, because YAML reads an unquoted `off` as false.
        return ("off" if value is False else str(value)) in map(str, spec["choices"])
    match spec.get("type", "str"):
        case "dict":
            return isinstance(value, Mapping)
        case "list":
            return isinstance(value, list)
        case "bool":
            return str(value).lower() in BOOLEANS
        case "int":
            return bool(re.fullmatch(r"-?[0-9]+", str(value)))
        case other:
            # A value of the type raw, such as a size, may be text or a number.
            return isinstance(value, (str, int, float) if other == "raw" else str) and not isinstance(value, bool)


def unquoted(value: Any, spec: Mapping[str, Any]) -> str:
    """Return the type that YAML gave to an unquoted text, such as a number; empty if YAML read the value as text."""
    if "choices" in spec or spec.get("type", "str") not in ("str", "path", "raw"):
        return ""
    return next((kind for type_, kind in UNQUOTED.items() if isinstance(value, type_)), "")


def unprintable(value: Any) -> bool:
    """Return whether a text contains a line break or another control character. PEM texts are not checked."""
    text = value if isinstance(value, str) else ""
    return "-----BEGIN" not in text and any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text)


def secret(spec: Mapping[str, Any]) -> bool:
    """Return whether the option, or a part of it, is a secret (no_log)."""
    return bool(spec.get("no_log")) or any(map(secret, spec.get("options", {}).values()))


def hint(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return "did you mean NAME?" for the most similar known name; if there is none, `otherwise`."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else otherwise


def value_problems(name: str, value: Any, spec: Mapping[str, Any], remedy: str) -> list[str]:
    """Return an error message for each part of a value that does not fit its specification, without quoting secrets.

    name: the name of the variable, or of its part, such as nginx_users[0].password. remedy: the end of each message.
    """
    if not fits(value, spec):
        shown = "does not fit" if secret(spec) else f"is {str(value)[:100]!r}"
        if kind := unquoted(value, spec):
            return [f"{name} is {kind if secret(spec) else f'{value}, {kind}'}: put it in quotes."]
        choices = ", ".join(map(str, spec.get("choices", [])))
        wanted = f"one of {choices}" if choices else KINDS.get(spec.get("type", ""), "text")
        return [f"{name} {shown}, and must be {wanted}: {remedy}"]
    if secret(spec) and unprintable(value):
        return [f"{name} has a line break or another control character: remove it."]
    if isinstance(value, list):
        element = {**spec, "type": spec.get("elements", "str")}
        return [line for i, part in enumerate(value) for line in value_problems(f"{name}[{i}]", part, element, remedy)]
    if not isinstance(value, Mapping) or "options" not in spec:
        return []
    options = spec["options"]
    parts = f"its parts are {', '.join(options)}."
    problems = [f"{name} has no part {key}: {hint(str(key), options, parts)}" for key in value if key not in options]
    for key, option in options.items():
        if key in value:
            problems += value_problems(f"{name}.{key}", value[key], option, remedy)
        elif option.get("required"):
            problems.append(f"{name} lacks {key}: {remedy}")
    return problems


@cache
def specifications(roles: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return role and specification of every variable that the roles in a folder declare in meta/argument_specs.yml."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for path in sorted(Path(roles).glob("*/meta/argument_specs.yml")):
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values():
            found |= {name: (path.parts[-3], spec) for name, spec in entry["options"].items()}
    return found


def variable_problems(variables: Mapping[str, Any], roles: str) -> list[str]:
    """Return an error message for each variable that no role declares, or that has the wrong type.

    variables: the host's variables that begin with a role's name. roles: the folder of the roles, whose
    meta/argument_specs.yml declare variables. A value with `no_log` in its specification is never quoted.
    """
    specs = specifications(roles)
    problems = []
    for name, value in sorted(variables.items()):
        if name in specs:
            role, spec = specs[name]
            remedy = f"the comment above it in roles/{role}/defaults/main.yml says what fits."
            problems += value_problems(name, value, spec, remedy)
        elif name in RENAMED:
            problems.append(f"{name} is called {RENAMED[name]} now: rename it in your variables.")
        elif name in REMOVED:
            problems.append(f"{name} is no variable any more, because {REMOVED[name]}: remove it.")
        else:
            otherwise = "remove it, or look for its name in roles/*/defaults/main.yml."
            problems.append(f"{name} is not a variable of Trackbox: {hint(name, specs, otherwise)}")
    return problems


def least_problems(value: object, variable: str, least: int) -> list[str]:
    """Return an error message if a variable's whole number is below the minimum."""
    return [f"{variable} is {value}: it must be {least} or more."] * (int(str(value)) < least)


def account(users: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """Return the user with this name; if there is none, the first admin.

    users: in the form of nginx_users. At least one of them has the role admin.
    """
    return next((user for user in users if user["name"] == name), None) or next(
        user for user in users if user.get("role", "admin") == "admin"
    )


# Programs that listen as root. Only these are recognised by their name, and all others by their user. So a MinIO that
# runs as root is not mistaken for Trackbox's MinIO.
ROOT_PROGRAMS = {"nginx", "systemd"}


def port_problems(listening: list[dict[str, Any]], ports: Mapping[str, Any], *owners: str) -> list[str]:
    """Return an error message for each port that is invalid, that two variables name, or that another program uses.

    listening: the fact `tcp_listen` of community.general.listen_ports_facts. ports: ports, or addresses with a port,
    by the variable that sets each. owners: the users and the programs among ROOT_PROGRAMS that may use these ports.
    """
    problems = []
    seen: dict[str, str] = {}
    for variable, value in ports.items():
        address, colon, port = str(value).rpartition(":")
        if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536 or (colon and not address):
            problems.append(f"{variable} is {value}: its port must be a number from 1 to 65535.")
            continue
        if port in seen:
            problems.append(f"{variable} is {value}, the port of {seen[port]} too: give each a port of its own.")
        seen[port] = variable
        for entry in listening:
            ours = entry.get("user") in owners or entry["name"] in ROOT_PROGRAMS.intersection(owners)
            if entry["port"] == int(port) and not ours:
                holder = f"{entry['name']} (process {entry['pid']})"
                problems.append(f"{variable}: port {port} is held by {holder}: stop that, or choose another port.")
                break
    return problems


def fields(text: str) -> dict[str, str]:
    """Return the output of a program as a mapping. Each line contains a name, a tab and a value."""
    return dict(line.split("\t", 1) for line in text.splitlines() if "\t" in line)


def formatted(names: Iterable[object], *patterns: str) -> list[str]:
    """Return every pattern with every name in place of {}. `{}.j2` with the names a and b gives a.j2 and b.j2."""
    return [pattern.format(name) for pattern in patterns for name in names]


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Any]:
        """Return a mapping from the name of each filter to its function."""
        return {
            "account": account,
            "fields": fields,
            "formatted": formatted,
            "least_problems": least_problems,
            "port_problems": port_problems,
            "variable_problems": variable_problems,
        }
