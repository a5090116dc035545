"""The lookup `variables` returns the variables of a host whose names match a regular expression."""

from __future__ import annotations

DOCUMENTATION = """
name: variables
author: Trackbox (!UNKNOWN)
short_description: The variables of a host whose names match
description: Return one mapping, from the name of each variable to its value, with its templates resolved.
options:
  _terms:
    description: A regular expression of the names.
    required: true
"""

EXAMPLES = """
- ansible.builtin.debug:
    msg: "{{ lookup('trackbox.workbench.variables', '^mlflow_') }}"
"""

RETURN = """
_raw: {description: The mapping., type: dict}
"""

import re
from collections.abc import Mapping
from typing import Any

from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):  # type: ignore[misc]
    """Registers the lookup of this file with Ansible."""

    def run(self, terms: list[str], variables: Mapping[str, Any], **options: Any) -> list[dict[str, Any]]:
        """Return a list with one mapping: names and values of the variables whose names match `terms[0]`, a regex."""
        names = sorted(name for name in variables if re.search(terms[0], name))
        return [self._templar.template({name: variables[name] for name in names})]
