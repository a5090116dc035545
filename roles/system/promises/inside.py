"""The promises (checks of verify.yml) about the system: automatic updates, log sizes and the clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from promises import Facts, Off, promise
from tools import output, sha256


@promise("system")
def updates_by_themselves(its: Facts) -> Iterator[str]:
    """The system installs security updates automatically."""
    if not its["updates"]:
        raise Off("system_security_updates is false")
    timer = output("systemctl", "is-active", "apt-daily-upgrade.timer", codes=(0, 3)).strip()
    if timer != "active":
        yield f"apt-daily-upgrade.timer is {timer}"
    if not Path("/usr/bin/unattended-upgrade").exists():
        yield "unattended-upgrades is not installed"
    if 'Unattended-Upgrade "1"' not in output("apt-config", "dump"):
        yield "APT::Periodic::Unattended-Upgrade is not 1"


@promise("system")
def system_as_written(its: Facts) -> Iterator[str]:
    """The system's files match the settings."""
    for path, wanted in its["files"].items():
        if not Path(path).is_file() or sha256(path) != wanted:
            yield f"{path} is another"


@promise("system")
def journal_limited(its: Facts) -> Iterator[str]:
    """The system limits the size of its journal."""
    shown = output("systemd-analyze", "cat-config", "systemd/journald.conf")
    if "\nSystemMaxUse=" not in shown:
        yield "SystemMaxUse is not set"


@promise("system")
def logs_rotate(its: Facts) -> Iterator[str]:
    """The system rotates the logs of its services."""
    timer = output("systemctl", "is-active", "logrotate.timer", codes=(0, 3)).strip()
    if timer != "active":
        yield f"logrotate.timer is {timer}"


@promise("system")
def clock_right(its: Facts) -> Iterator[str]:
    """The system's clock is synchronised."""
    if its["container"]:
        raise Off("a container's clock is its host's")
    if not its["time"]:
        raise Off("system_time_sync is false")
    if output("timedatectl", "show", "--property=NTPSynchronized", "--value").strip() != "yes":
        yield "it is not synchronized: timedatectl"
