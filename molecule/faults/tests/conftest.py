"""Import the fixtures of tests/machine, and add a fixture that cuts the power of the machine."""

import os
from collections.abc import Iterator

import pytest
from machine import ROOT, Machine, host, machine, viewer
from power_cut import Power

__all__ = ["Machine", "host", "machine", "power", "viewer"]


@pytest.fixture(scope="session")
def power(machine: Machine) -> Iterator[Power]:
    """Yield an object that cuts the machine's power. Sync first, so that no data of the installation are lost."""
    folder = ROOT / ".trackbox" / machine.name
    assert folder.is_mount(), f"{folder} is no file system of its own: molecule create -s faults"
    os.sync()
    yield Power(machine.name, folder, machine.address)
    # Sync the data of this test to the disk before other tests cut the power.
    os.sync()
