"""What playbooks/verify.yml looks at is held on a machine that was just installed: a test for each promise."""

import sys

import pytest
from machine import ROOT, Machine

sys.path.insert(0, str(ROOT / "roles/verify/filter_plugins"))
import verify


@pytest.fixture(scope="module")
def states(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The state of each promise."""
    return machine.promises(tmp_path_factory.mktemp("verify"))


@pytest.mark.parametrize("name", verify.promises())
def test_a_promise_is_held(states: dict[str, str], name: str) -> None:
    # A container's clock is its host's, and nothing trains by schedule.
    assert states[name] == ("off" if name in ("clock_right", "training_scheduled") else "held")
