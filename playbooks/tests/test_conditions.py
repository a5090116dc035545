"""Every condition in YAML is a boolean, because ansible-core 2.19 fails if it is a list, a text or a number.

The test parses each condition without evaluating it. A comparison and a Jinja test are boolean. A variable is boolean
only if all its definitions are boolean expressions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_run import ROOT
from jinja2 import Environment, TemplateSyntaxError, nodes

CONDITIONS = ("when", "until", "failed_when", "changed_when", "break_when", "that")
FOLDERS = ("playbooks", "roles", "molecule")
# Ansible's own variables and keys of task results that are always boolean.
BOOLEANS = {"ansible_check_mode", "exists", "changed", "failed", "skipped"}

JINJA = Environment(autoescape=True)


def is_boolean(node: nodes.Node | None, known: Collection[str] = BOOLEANS) -> bool:
    """Return whether a Jinja expression is always boolean. known: the names of variables that are boolean."""

    def all_are(*parts: nodes.Node | None) -> bool:
        return all(is_boolean(part, known) for part in parts)

    match node:
        case nodes.Not():
            found = all_are(node.node)
        case nodes.And() | nodes.Or():
            found = all_are(node.left, node.right)
        case nodes.CondExpr():
            found = all_are(node.test, node.expr1, node.expr2)
        case nodes.Filter(name="default"):
            found = all_are(node.node, *node.args)
        case nodes.Const():
            found = isinstance(node.value, bool)
        case nodes.Name() | nodes.Getattr():
            found = (node.name if isinstance(node, nodes.Name) else node.attr) in known
        case _:
            found = isinstance(node, (nodes.Compare, nodes.Test)) or getattr(node, "name", "") == "bool"
    return found


def expression(text: str) -> nodes.Node | None:
    """Return the parsed expression of a Jinja template; None if the template is not exactly one expression."""
    try:
        match JINJA.parse(text.strip()).body:
            case [nodes.Output(nodes=[found])]:
                return found
    except TemplateSyntaxError:  # The text is not a template but, for example, a script with braces.
        pass
    return None


def conditions(loaded: Any) -> Iterator[str]:
    """Yield every condition (`when`, `until`, …) in the parsed content of a YAML file."""
    if isinstance(loaded, list):
        for part in loaded:
            yield from conditions(part)
    elif isinstance(loaded, dict):
        for name, value in loaded.items():
            if name in CONDITIONS:
                yield from map(str, value if isinstance(value, list) else [value])
            else:
                yield from conditions(value)


def definitions(loaded: Any) -> Iterator[tuple[str, str]]:
    """Yield name and definition of every variable that begins with `__` in the parsed content of a YAML file."""
    if isinstance(loaded, list):
        for part in loaded:
            yield from definitions(part)
    elif isinstance(loaded, dict):
        for name, value in loaded.items():
            if str(name).startswith("__"):
                yield name, str(value)
            yield from definitions(value)


@cache
def known() -> Collection[str]:
    """Return the boolean variables: BOOLEANS, and the names whose definitions are all boolean."""
    found: dict[str, bool] = dict.fromkeys(BOOLEANS, True)
    for path in [*files(), *(ROOT / "roles").glob("*/vars/main.yml")]:
        for name, value in definitions(yaml.safe_load(path.read_text())):
            good = value in ("True", "False") or is_boolean(expression(value))
            found[name] = found.get(name, True) and good
    return {name for name, good in found.items() if good}


def files() -> Iterator[Path]:
    """Yield the YAML files that contain tasks."""
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.yml")):
        if path.parent.name in ("playbooks", "tasks", "handlers") or path.name in ("prepare.yml", "converge.yml"):
            yield path


@pytest.mark.parametrize("path", list(files()), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_condition_is_boolean(path: Path) -> None:
    wrong = [
        text
        for text in conditions(yaml.safe_load(path.read_text()))
        if not is_boolean(expression(f"{{{{ {text} }}}}"), known())
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "text",
    ["names", "upgrade_backup | bool and names and not ansible_check_mode", "not names", "names | default([])", "'a'"]
    + [
        "names | length",
        "x.stdout",
        "x is defined and x.rc",
        "'a' if x is defined else names",
        "x | default(true)",
        "1",
    ],
)
def test_a_condition_that_may_not_be_boolean_is_found(text: str) -> None:
    assert not is_boolean(expression(f"{{{{ {text} }}}}"))


@pytest.mark.parametrize(
    "text",
    ["names | length > 0", "x is defined", "'a' in names", "true", "not ansible_check_mode", "x.stat.exists"]
    + ["x.stat.exists | default(true)", "x | bool or y.rc == 0", "(x is defined) if y == 1 else false"],
)
def test_a_boolean_condition_passes(text: str) -> None:
    assert is_boolean(expression(f"{{{{ {text} }}}}"))
