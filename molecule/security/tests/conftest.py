"""Fixtures for attacks. Tests count each attack in `attacks`, and pytest prints the totals at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from machine import Machine, host, machine, viewer
from testinfra.host import Host

__all__ = ["Machine", "host", "machine", "viewer"]

ATTACKS: Counter[str] = Counter()


@pytest.fixture(scope="session")
def attacks() -> Counter[str]:
    """Return the number of attacks: `network` over the network, `local` by a user on the machine."""
    return ATTACKS


@pytest.fixture(scope="session")
def mallory(host: Host) -> Iterator[str]:
    """Create a user with a shell and no rights on the machine; yield the name."""
    host.check_output("id -u mallory >/dev/null 2>&1 || useradd --create-home --shell /bin/bash mallory")
    yield "mallory"
    host.check_output("userdel --force --remove mallory 2>/dev/null || true")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the number of attacks, and whether any attack succeeded."""
    if ATTACKS:
        failed = len(terminalreporter.stats.get("failed", []))
        through = f"{failed} tests failed" if failed else "none got through"
        counts = f"{ATTACKS['network']:,} attacks from the network, {ATTACKS['local']:,} by a local user"
        terminalreporter.write_line(f"{counts}: {through}")
