"""Fill the disk of a local VM. The VM's folder must be a mount point of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from power_cut import Power, run


def free(power: Power) -> int:
    """Return the free bytes of the machine's disk."""
    return int(run("stat", "--file-system", "--format=%a", power.folder)) * 4096


def size(power: Power) -> int:
    """Return the size of the machine's disk, in bytes."""
    return int(run("stat", "--file-system", "--format=%b", power.folder)) * 4096


def leave(power: Power, filler: Path, space: int) -> None:
    """Enlarge the filler file until `space` bytes are free."""
    run("fallocate", f"--length={free(power) - space}", filler)


@pytest.fixture
def filler(power: Power) -> Iterator[Path]:
    """Yield the path of a file that tests enlarge to fill the disk; delete the file afterwards."""
    path = power.folder / "rootfs/var/tmp/filler"
    yield path
    path.unlink(missing_ok=True)


def fill(power: Power, filler: Path) -> None:
    """Enlarge the filler file until the disk is full."""
    leave(power, filler, 2**26)
    run("sh", "-c", f"cat /dev/zero >>{filler} 2>/dev/null || true")
    assert free(power) < 2**16
