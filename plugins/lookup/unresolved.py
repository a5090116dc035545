"""The lookup `unresolved` reports variables whose templates fail."""

from __future__ import annotations

DOCUMENTATION = """
name: unresolved
author: Trackbox (!UNKNOWN)
short_description: Which variables Ansible cannot resolve
description: Return an error message for each variable whose template fails.
options:
  _terms:
    description: The names of the variables.
    required: true
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

REFERENCE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


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
        names = dict.fromkeys(place for name in terms for place in self.unresolved(name, variables[name], variables))
        return [
            f"{name} has a template ({{{{ or {{%) that Ansible cannot resolve: correct the variable that it names, or "
            "write !unsafe before a text that is no template."
            for name in names
        ]
