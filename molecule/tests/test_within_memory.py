"""What all the other tests took: this file is the last of them by its name."""

import pytest
import yaml
from machine import ROOT, Machine
from vm_memory import Memory, memory_of


@pytest.fixture
def memory(machine: Machine) -> Memory:
    """What the machine has used."""
    found = memory_of(machine.name)
    if not found:
        pytest.skip("the controller counts no memory of this machine")
    return found


def test_the_memory_is_bounded_as_the_scenario_says(machine: Machine, memory: Memory) -> None:
    scenario = ROOT / "molecule" / machine.name.removeprefix("molecule-") / "inventory.yml"
    given = yaml.safe_load(scenario.read_text())["all"]["vars"].get("local_vm_memory") if scenario.is_file() else None
    if not given:
        assert memory.limit is None
        return
    assert memory.limit == int(given[:-1]) * {"M": 2**20, "G": 2**30}[given[-1]]
    # Page cache fills what programs leave: with less the machine would be elsewhere. The kernel may be a page too late.
    assert memory.limit / 2 < memory.peak < memory.limit * 1.01


def test_nothing_was_killed_for_want_of_memory(memory: Memory) -> None:
    assert memory.killed == 0
