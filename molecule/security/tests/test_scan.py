"""Debian's testssl.sh reports no problem on ports 443 and 9443."""

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from machine import Machine

IN_ORDER = {"OK", "INFO", "DEBUG"}
# sessionresumption_ticket: testssl.sh closes the connection right after the handshake, but TLS 1.3 sends the session
# ticket only later. On a busy machine the scanner therefore gets no ticket, and reports a connection problem.
# engine_problem: a problem of the scanner's own OpenSSL.
NO_FINDING = {"sessionresumption_ticket", "engine_problem"}
CHECKS = ["--protocols", "--std", "--pfs", "--server-preference", "--server-defaults", "--headers", "--vulnerable"]


def scan(machine: Machine, report: Path, port: int) -> list[dict[str, str]]:
    """Return the scanner's findings on a port."""
    testssl = shutil.which("testssl") or shutil.which("testssl.sh")
    if testssl is None:
        pytest.skip("testssl.sh is not installed: apt install testssl.sh")
    command = [testssl, "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--jsonfile", str(report)]
    command += ["--add-ca", str(machine.secrets / "ca.crt"), *CHECKS, f"{machine.address}:{port}"]
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=180, check=False)
    found: list[dict[str, str]] = json.loads(report.read_text())
    return found


def test_the_scanner_reports_no_problem(machine: Machine, tmp_path: Path) -> None:
    ports = [443, 9443]
    with ThreadPoolExecutor() as pool:
        scans = list(pool.map(lambda port: scan(machine, tmp_path / f"{port}.json", port), ports))
    for port, found in zip(ports, scans, strict=True):
        assert len(found) > 50
        high = [finding for finding in found if finding["severity"] not in IN_ORDER and finding["id"] not in NO_FINDING]
        assert [f"{port} {finding['id']}: {finding['finding']}" for finding in high] == []
