"""Filters about the inventory: the folder of its secrets, and checks of trackbox_host and trackbox_disk_reserve."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def secrets_folder(inventory: str) -> str:
    """Return the folder of an inventory's generated secrets: `.secrets`, or `secrets` until it has been renamed.

    Releases before November 2026 used the folder `secrets`. As long as `.secrets` is missing or empty, `secrets` is
    still used, because otherwise Ansible would generate new passwords.
    """
    new, old = Path(inventory, ".secrets"), Path(inventory, "secrets")

    def used(folder: Path) -> bool:
        return folder.is_symlink() or (folder.is_dir() and any(folder.iterdir()))

    return str(old if used(old) and not used(new) else new)


def is_host_name(name: str) -> bool:
    """Return whether the text is a host name (RFC 1123), or an IPv4 address of four numbers."""
    labels = name.split(".")
    # Browsers and curl read a name that ends in a number as an IPv4 address
    # (https://url.spec.whatwg.org/#ends-in-a-number-checker).
    if re.fullmatch(r"[0-9]+|0[xX][0-9A-Fa-f]*", labels[-1]):
        try:
            return bool(ipaddress.IPv4Address(name))
        except ValueError:
            return False
    return len(name) <= 253 and all(map(LABEL.fullmatch, labels))


def in_ascii(name: str) -> str:
    """Return the ASCII form (IDNA) of an international host name, without a final dot; "" if it has no such form."""
    try:
        spelled = name.removesuffix(".").encode("idna").decode()
        # Python's codec replaces some letters, such as the German sharp s. So refuse a name that does not decode to
        # itself.
        return spelled if spelled.encode().decode("idna") == name.removesuffix(".").lower() else ""
    except UnicodeError:
        return ""


def host_problems(host: object) -> list[str]:
    """Return an error message if trackbox_host is neither a host name nor an address that clients accept."""
    name = str(host)
    if is_host_name(name):
        return []
    if re.search(r"[:/\s]", name):
        remedy = "give a name or an address alone, without scheme, port and path."
    elif is_host_name(in_ascii(name)):
        remedy = f"it is no host name that clients take: write {in_ascii(name)!r}."
    elif re.fullmatch(r"[0-9.]+", name):
        remedy = "it is no address: write four numbers from 0 to 255, such as 192.0.2.10."
    else:
        remedy = (
            "it is no host name: take letters, digits, hyphens and dots, 1 to 63 characters between the dots, and no "
            "hyphen beside a dot."
        )
    return [f"trackbox_host is {name}: {remedy}"]


def reserve_problems(reserve: object) -> list[str]:
    """Return an error message if trackbox_disk_reserve is neither a share of the disk, such as 5%, nor a size."""
    if re.fullmatch(r"[1-9]?[0-9]([.][0-9]+)?%|[0-9]+[KMGT]?", str(reserve)):
        return []
    return [f"trackbox_disk_reserve is {reserve}: give it a share of the disk such as 5%, or a size such as 10G."]


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return a mapping from the name of each filter to its function."""
        return {
            "host_problems": host_problems,
            "reserve_problems": reserve_problems,
            "secrets_folder": secrets_folder,
        }
