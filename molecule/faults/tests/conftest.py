"""The fixtures of molecule/tests, and the power of the machine."""

import os
from collections.abc import Iterator

import pytest
from machine import ROOT, Machine, host, machine, viewer
from power_cut import Power

__all__ = ["Machine", "host", "machine", "power", "viewer"]


@pytest.fixture(scope="session")
def power(machine: Machine) -> Iterator[Power]:
    """The machine's power; what the installation wrote is on the disk first."""
    folder = ROOT / ".trackbox" / machine.name
    assert folder.is_mount(), f"{folder} is no file system of its own: molecule create -s faults"
    os.sync()
    yield Power(machine.name, folder, machine.address)
    # Other tests log in by connections that lasted.
    os.sync()
