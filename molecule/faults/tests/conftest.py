"""Imports the fixtures of tests/machine, and adds the power switch of the machine."""

import os
from collections.abc import Iterator

import pytest
from machine import ROOT, Machine, host, machine, viewer
from power_cut import Power

__all__ = ["Machine", "host", "machine", "power", "viewer"]


@pytest.fixture(scope="session")
def power(machine: Machine) -> Iterator[Power]:
    """Yield the machine's power switch, after a sync of what the installation wrote."""
    folder = ROOT / ".trackbox" / machine.name
    assert folder.is_mount(), f"{folder} is no file system of its own: molecule create -s faults"
    os.sync()
    yield Power(machine.name, folder, machine.address)
    # Write to the disk what the tests have written, before other tests use the machine.
    os.sync()
