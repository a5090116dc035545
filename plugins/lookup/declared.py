"""The lookup `declared` returns what the roles of services declare in meta/wiring.yml."""

from __future__ import annotations

DOCUMENTATION = """
name: declared
author: Trackbox (!UNKNOWN)
short_description: What the roles of services declare
description:
  - Return what the file C(meta/wiring.yml) of each role has under a key, with its templates resolved. A list's elements
    are returned one by one.
options:
  _terms:
    description: The key, and the names of the services.
    required: true
  by_service:
    description: Whether to return one mapping, from a service's name to its value.
    type: bool
    default: false
"""

EXAMPLES = """
- ansible.builtin.debug:
    msg: "{{ query('declared', 'addresses', wiring_installed) }}"
"""

RETURN = """
_raw: {description: The values., type: list}
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible.plugins.lookup import LookupBase
from ansible.template import trust_as_template

ROLES = Path(__file__).parents[2] / "roles"


@cache
def declaration(service: str) -> Mapping[str, Any]:
    """Return the content of meta/wiring.yml in a service's role, with its templates not resolved yet."""
    path = ROLES / service / "meta/wiring.yml"
    found: Mapping[str, Any] = yaml.safe_load(path.read_text())[service] if path.is_file() else {}
    return found


def trusted(value: Any) -> Any:
    """Return the value with its texts marked as trusted templates. They are safe, as they come from a role's file."""
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, Mapping):
        return {key: trusted(part) for key, part in value.items()}
    return [trusted(part) for part in value] if isinstance(value, list) else value


class LookupModule(LookupBase):  # type: ignore[misc]
    """Registers the lookup of this file with Ansible."""

    def run(self, terms: list[Any], variables: Mapping[str, Any], **options: Any) -> list[Any]:
        """Return what the services declare under a key. terms: the key, and the names of the services."""
        self.set_options(var_options=variables, direct=options)
        key, services = terms
        found = {
            name: self._templar.template(trusted(declaration(name)[key]))
            for name in services
            if key in declaration(name)
        }
        if self.get_option("by_service"):
            return [found]
        return [part for value in found.values() for part in (value if isinstance(value, list) else [value])]
