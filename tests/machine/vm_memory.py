"""The memory limit and the peak memory of a machine of roles/local_vm, from its control group on the controller."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
# Control groups, version 2 and version 1: the file of the limit, of the peak, and of the number of killed processes.
FILES = {
    "memory.max": ("memory.peak", "memory.events"),
    "memory.limit_in_bytes": ("memory.max_usage_in_bytes", "memory.oom_control"),
}


@dataclass(frozen=True)
class Memory:
    """A machine's memory limit and peak in bytes (None: no limit), and the number of processes killed for it."""

    limit: int | None
    peak: int
    killed: int


def memory_of(name: str) -> Memory | None:
    """Return the memory of the machine of this name since its start; None if the controller does not account memory."""
    for limit, (peak, events) in FILES.items():
        for group in (GROUPS / f"trackbox-{name}", GROUPS / f"memory/trackbox-{name}"):
            if not (group / limit).exists():
                continue
            words = (group / limit).read_text().strip()
            # Version 1 has no word for "no limit": it shows the largest number of pages.
            bound = None if words == "max" or int(words) > 2**62 else int(words)
            counts = dict(line.split() for line in (group / events).read_text().splitlines())
            return Memory(bound, int((group / peak).read_text()), int(counts["oom_kill"]))
    return None
