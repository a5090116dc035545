"""Each test of a scenario finds its fixtures. Scenarios run rarely, so they would show a missing fixture late."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDERS = [*sorted(path.parent for path in ROOT.glob("molecule/*/tests/test_*.py")), ROOT / "tests/machine"]


@pytest.mark.parametrize("folder", dict.fromkeys(FOLDERS), ids=lambda path: str(path.relative_to(ROOT)))
def test_pytest_can_plan_each_test(folder: Path) -> None:
    # With --setup-plan pytest looks for the fixtures, but runs neither fixtures nor tests.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--setup-plan", str(folder)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"MOLECULE_PROJECT_DIRECTORY": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "test_" in done.stdout


def test_the_scenario_of_switches_has_the_opposite_of_each_default() -> None:
    files = ROOT.glob("roles/*/defaults/main.yml")
    defaults = [pair for path in files for pair in (yaml.safe_load(path.read_text()) or {}).items()]
    given = yaml.safe_load((ROOT / "molecule/switches/inventory.yml").read_text())["all"]["vars"]
    opposite = {name: not value for name, value in defaults if isinstance(value, bool)}
    assert opposite
    assert {name: value for name, value in given.items() if isinstance(value, bool)} == opposite
