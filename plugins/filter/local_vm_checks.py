"""The filter `local_vm_problems`: why a controller, or settings, cannot make a local VM."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any

NAME = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
MEMORY = re.compile("([1-9][0-9]*[MG])?")
NETWORK = IPv4Network("10.83.0.0/16")


def is_upper_address(text: str) -> bool:
    """Return whether this is the upper one of the two addresses of a /30 network in NETWORK."""
    try:
        address = IPv4Address(text)
    except AddressValueError:
        return False
    return address in NETWORK and int(address) % 4 == 2


def local_vm_problems(settings: Mapping[str, Any], system: str, user: str) -> list[str]:
    """Return a sentence for each reason why no VM could be made.

    settings: the role's variables. system, user: the controller's, such as Linux and root.
    """
    name, address, memory = (str(settings[f"local_vm_{part}"]) for part in ("name", "address", "memory"))
    problems = []
    if (system, user) != ("Linux", "root"):
        problems.append(
            f"The local VM needs root on Linux, and this is {user} on {system}: type `sudo make up`, or install on a "
            "VM of your own (docs/your-own-vm.md)."
        )
    if not NAME.fullmatch(name):
        problems.append(f"local_vm_name is {name}: take small letters, digits and hyphens, 63 at the most.")
    if not is_upper_address(address):
        problems.append(
            f"local_vm_address is {address}: take the upper address of a /30 network in {NETWORK}, such as 10.83.0.2."
        )
    if not MEMORY.fullmatch(memory):
        problems.append(
            f"local_vm_memory is {memory}: give it a number with M or G, such as 2G, or nothing for no bound."
        )
    return problems


class FilterModule:
    """The filters of this file, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"local_vm_problems": local_vm_problems}
