"""The lookup `inventory_problems` reports files of variables that Ansible ignores, and templates that fail."""

from __future__ import annotations

DOCUMENTATION = """
name: inventory_problems
author: Trackbox (!UNKNOWN)
short_description: What Ansible does not read of the inventory, or cannot resolve
description: Return an error message for each variables file that is not read, and each variable whose template fails.
options:
  _terms:
    description: The names of the variables.
    required: true
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible import context
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

# The possible endings of the name of a file or folder with the variables of one group or host. If several of these
# exist, Ansible reads the one with the first ending in this list, and ignores the others.
EXTENSIONS = ("", ".yml", ".yaml", ".json")
REFERENCE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def hidden_files(sources: Iterable[str], names: Collection[str]) -> list[str]:
    """Return an error message for each file of variables that Ansible ignores because it reads another one instead.

    sources: paths of inventories (files or folders) and folders of playbooks. names: the names of groups and hosts.
    """
    paths = [Path(source) for source in sources if Path(source).exists()]
    bases = dict.fromkeys(path if path.is_dir() else path.parent for path in paths)
    problems = []
    for parent in [base / kind for base in bases for kind in ("group_vars", "host_vars")]:
        for name in sorted(names):
            found = [path for end in EXTENSIONS if (path := parent / (name + end)).exists()]
            for hidden in found[1:]:
                where = f"to {found[0]}/main.yml" if found[0].is_dir() else f"into {found[0].name}"
                problems.append(f"{hidden} is not read, because Ansible reads {found[0]} alone: move it {where}.")
    return problems


class LookupModule(LookupBase):  # type: ignore[misc]
    """Registers the lookup of this file with Ansible."""

    def unresolved(self, name: str, value: Any, variables: Mapping[str, Any]) -> Iterator[str]:
        """Yield the names of those parts of a variable whose templates fail, but no values, which may be secrets."""
        if isinstance(value, Mapping):
            for key, part in value.items():
                yield from self.unresolved(f"{name}.{key}", part, variables)
        elif isinstance(value, list):
            for number, part in enumerate(value):
                yield from self.unresolved(f"{name}[{number}]", part, variables)
        elif isinstance(value, str):
            named = REFERENCE.fullmatch(value.strip())
            try:
                self._templar.template(value)
            except AnsibleError:
                if named and named[1] in variables:
                    yield from self.unresolved(named[1], variables[named[1]], variables)
                else:
                    yield name

    def run(self, terms: list[str], variables: Mapping[str, Any], **_: Any) -> list[str]:
        """Return the error messages. terms: the names of the variables to resolve."""
        sources = [*context.CLIARGS.get("inventory", ()), variables["playbook_dir"]]
        problems = hidden_files(sources, {*variables["groups"], *variables["groups"]["all"]})
        names = dict.fromkeys(place for name in terms for place in self.unresolved(name, variables[name], variables))
        return problems + [
            f"{name} has a template ({{{{ or {{%) that Ansible cannot resolve: correct the variable that it names, or "
            "write !unsafe before a text that is no template."
            for name in names
        ]
