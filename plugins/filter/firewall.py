"""The filter `firewall_problems`, which checks `firewall_allowed_tcp`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def firewall_problems(allowed: Sequence[Any], ssh_ports: Sequence[int]) -> list[str]:
    """Return an error message for each value that is no port, and one if a port of SSH is missing.

    allowed: firewall_allowed_tcp. ssh_ports: the ports that SSH uses.
    """
    problems = [
        f"firewall_allowed_tcp has {port!r}: a port is a number from 1 to 65535."
        for port in allowed
        if not (str(port).isascii() and str(port).isdigit() and 0 < int(port) < 65536)
    ]
    if not problems and (cut := sorted(set(ssh_ports) - {int(port) for port in allowed})):
        given, missing = ", ".join(map(str, allowed)) or "empty", ", ".join(map(str, cut))
        problems.append(
            f"firewall_allowed_tcp is {given}, and would block SSH, which uses {missing}: add that port, or set "
            "firewall_enabled to false."
        )
    return problems


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return a mapping from the name of each filter to its function."""
        return {"firewall_problems": firewall_problems}
