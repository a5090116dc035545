"""testssl.sh, from Debian, on both doors: nothing above its lowest level without a reason in docs/security-scan.md."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from machine import Machine

LOW = {"OK", "INFO", "DEBUG", "LOW"}
# A private authority has nobody who would ask for revoked certificates. Session tickets are off, which testssl.sh 3.0
# cannot find out with this port's answers, and says so.
DECIDED = {"cert_revocation", "sessionresumption_ticket"}
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
    high = [finding for finding in found if finding["severity"] not in LOW and finding["id"] not in DECIDED]
    assert [f"{finding['id']}: {finding['finding']}" for finding in high] == []
