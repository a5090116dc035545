"""The lookup `generated_secrets` returns the names of the secrets that this controller generated."""

from __future__ import annotations

DOCUMENTATION = """
name: generated_secrets
author: Trackbox (!UNKNOWN)
short_description: Which secrets this controller generated
description: Return the names of those secrets whose file exists, and whose variable has no other value.
options:
  _terms:
    description: The folder of the secrets, and by the name of each file the variable that would supply the secret.
    required: true
"""

EXAMPLES = """
- ansible.builtin.debug:
    msg: "{{ query('generated_secrets', trackbox_secrets, {'admin_password': 'trackbox_admin_password'}) }}"
"""

RETURN = """
_raw: {description: The names., type: list}
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):  # type: ignore[misc]
    """Registers the lookup of this file with Ansible."""

    def run(self, terms: list[Any], variables: Mapping[str, Any], **_: Any) -> list[str]:
        """Return the names of the generated secrets.

        terms: the folder of the secrets, and a mapping from each secret's file name to the variable that can supply it.
        """
        folder, known = terms
        found = []
        for name, variable in known.items():
            path = Path(folder, name)
            if path.is_file():
                generated = path.read_text().rstrip()
                given = self._templar.template(variables[variable]) if variable in variables else generated
                found += [name] * (given == generated)
        return found
