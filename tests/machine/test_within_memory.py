"""The peak memory during all other tests stays within the limit. pytest runs this file last, because of its name."""

import pytest
import yaml
from machine import ROOT, Machine
from vm_memory import Memory, memory_of


@pytest.fixture
def memory(machine: Machine) -> Memory:
    """Return the machine's memory."""
    found = memory_of(machine.name)
    if not found:
        pytest.skip("the controller counts no memory of this machine")
    return found


def test_the_memory_limit_is_that_of_the_scenario(machine: Machine, memory: Memory) -> None:
    scenario = ROOT / "molecule" / machine.name.removeprefix("molecule-") / "inventory.yml"
    given = yaml.safe_load(scenario.read_text())["all"]["vars"].get("local_vm_memory") if scenario.is_file() else None
    if not given:
        assert memory.limit is None
        return
    assert memory.limit == int(given[:-1]) * {"M": 2**20, "G": 2**30}[given[-1]]
    # The peak may be equal to the limit, because the page cache uses all free memory. The kernel may exceed the limit
    # by a page.
    assert memory.limit / 2 < memory.peak < memory.limit * 1.01


def test_no_process_was_killed_for_lack_of_memory(memory: Memory) -> None:
    assert memory.killed == 0
