"""Filters that several roles use."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator


def variable_problems(variables: Mapping[str, Any], roles: str) -> list[str]:
    """Return a sentence for each variable that no role knows or that has the wrong type.

    variables: the host's variables that begin with a role's name. roles: the folder of the roles; their
    meta/argument_specs.yml say what is known. An option with `no_log` is never quoted.
    """
    specs: dict[str, Any] = {}
    for path in sorted(Path(roles).glob("*/meta/argument_specs.yml")):
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values():
            specs |= entry["options"]
    problems = []
    for name, value in sorted(variables.items()):
        if name not in specs:
            near = difflib.get_close_matches(name, specs, n=1)
            hint = f"did you mean {near[0]}?" if near else "remove it, or look for its name in the role's defaults."
            problems.append(f"{name} is not a variable of Trackbox: {hint}")
            continue
        checked = ArgumentSpecValidator({name: specs[name]}).validate({name: value})
        if checked.error_messages:
            shown = "its value" if specs[name].get("no_log") else f"the value {value!r}"
            wanted = specs[name].get("choices") or specs[name].get("type", "str")
            problems.append(f"{name}: {shown} does not fit; roles/*/defaults/main.yml says what does (here: {wanted}).")
    return problems


def port_problems(listening: list[dict[str, Any]], port: int | str, owner: str, variable: str) -> list[str]:
    """Return a sentence if `port` is held by a process that does not belong to the user `owner`.

    listening: the fact `tcp_listen` of community.general.listen_ports_facts. variable: what moves the port.
    """
    held = [entry for entry in listening if entry["port"] == int(port) and entry.get("user") != owner]
    return [
        f"Port {port} is held by {held[0]['name']} (process {held[0]['pid']}): stop it, or choose another port by {variable}."
        for _ in held[:1]
    ]


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"port_problems": port_problems, "variable_problems": variable_problems}
