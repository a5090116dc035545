"""The lookup `ignored_files` reports files of variables that Ansible ignores."""

from __future__ import annotations

DOCUMENTATION = """
name: ignored_files
author: Trackbox (!UNKNOWN)
short_description: Which variables files of the inventory Ansible does not read
description: Return an error message for each variables file in whose place Ansible reads another one.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.lookup import LookupBase

# The possible endings of the name of a file or folder with the variables of one group or host. If several of these
# exist, Ansible reads the one with the first ending in this list, and ignores the others.
EXTENSIONS = ("", ".yml", ".yaml", ".json")


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

    def run(self, _: list[str], variables: Mapping[str, Any], **__: Any) -> list[str]:
        """Return the error messages."""
        sources = [*context.CLIARGS.get("inventory", ()), variables["playbook_dir"]]
        return hidden_files(sources, {*variables["groups"], *variables["groups"]["all"]})
