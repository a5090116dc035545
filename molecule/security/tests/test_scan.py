"""testssl.sh, from Debian, on both doors: nothing but what it calls in order."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from machine import Machine

IN_ORDER = {"OK", "INFO", "DEBUG"}
CHECKS = ["--protocols", "--std", "--pfs", "--server-preference", "--server-defaults", "--headers", "--vulnerable"]


@pytest.mark.parametrize("port", [443, 9443])
def test_a_scanner_finds_nothing(machine: Machine, tmp_path: Path, port: int) -> None:
    testssl = shutil.which("testssl") or shutil.which("testssl.sh")
    if testssl is None:
        pytest.skip("testssl.sh is not installed: apt install testssl.sh")
    report = tmp_path / "report.json"
    command = [testssl, "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--jsonfile", str(report)]
    command += ["--add-ca", str(machine.secrets / "ca.crt"), *CHECKS, f"{machine.address}:{port}"]
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=180, check=False)
    found = json.loads(report.read_text())
    assert len(found) > 50
    high = [finding for finding in found if finding["severity"] not in IN_ORDER]
    assert [f"{finding['id']}: {finding['finding']}" for finding in high] == []
