"""Filters about the controller: checks whether it can create a local VM, and a quick check of the training data."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Callable, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

NAME = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
MEMORY = re.compile("([1-9][0-9]*[MG])?")
NETWORK = IPv4Network("10.83.0.0/16")
COLUMNS = ["Time", *(f"V{i}" for i in range(1, 29)), "Amount", "Class"]


def is_upper_address(text: str) -> bool:
    """Return whether the text is the upper of the two host addresses of a /30 network within NETWORK."""
    try:
        address = IPv4Address(text)
    except AddressValueError:
        return False
    return address in NETWORK and int(address) % 4 == 2


def local_vm_problems(settings: Mapping[str, Any], system: str, user: str) -> list[str]:
    """Return an error message for each reason why this controller cannot create the local VM.

    settings: the role's variables. system, user: the controller's operating system and user, such as Linux and root.
    """
    name, address, memory = (str(settings[f"local_vm_{part}"]) for part in ("name", "address", "memory"))
    checks = {
        f"The local VM needs root on Linux, and this is {user} on {system}: type `sudo make up`, or install on a VM of "
        "your own (docs/your-own-vm.md).": (system, user) == ("Linux", "root"),
        f"local_vm_name is {name}: take small letters, digits and hyphens, 63 at the most.": NAME.fullmatch(name),
        f"local_vm_address is {address}: take the upper address of a /30 network in {NETWORK}, such as 10.83.0.2.": (
            is_upper_address(address)
        ),
        f"local_vm_memory is {memory}: give it a number with M or G, such as 2G, or nothing for no bound.": (
            MEMORY.fullmatch(memory)
        ),
    }
    return [said for said, right in checks.items() if not right]


def data_file_problem(name: str) -> str:
    """Return an error message if the file's header or first row is wrong; `fraud data push` checks every row.

    name: the path of a CSV, gzipped CSV or Parquet file; empty if there is no file to check.
    """
    path = Path(name).expanduser()
    if not name or (path.suffix == ".parquet" and path.is_file()):
        return ""
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            rows = csv.reader(file)
            header, first = next(rows, []), next(rows, [])
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        return f"FRAUD_DATA is {name}, which cannot be read ({error}): name a CSV, a gzipped CSV or a Parquet file."
    if not header:
        return f"FRAUD_DATA is {name}, which is empty: name Kaggle's creditcard.csv, or leave FRAUD_DATA away."
    if missing := [column for column in COLUMNS if column not in header]:
        lacks = f"FRAUD_DATA is {name}, which lacks the columns {', '.join(missing)}"
        return f"{lacks}: name a file with {', '.join(COLUMNS)}."
    if not first:
        return f"FRAUD_DATA is {name}, which has a header and no rows: name a file with transactions in it."
    return ""


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return a mapping from the name of each filter to its function."""
        return {
            "data_file_problem": data_file_problem,
            "local_vm_problems": local_vm_problems,
        }
