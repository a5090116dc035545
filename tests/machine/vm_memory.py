"""The memory limit and the peak memory of a machine of roles/local_vm, from its control group on the controller."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
# Files of control groups, version 2 and version 1: the limit, the peak, and the number of processes killed.
FILES = {
    "memory.max": ("memory.peak", "memory.events"),
    "memory.limit_in_bytes": ("memory.max_usage_in_bytes", "memory.oom_control"),
}


@dataclass(frozen=True)
class Memory:
    """Memory limit (None: no limit) and peak of a machine in bytes, and the number of processes killed at the limit."""

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
            # Without a limit, a control group of version 1 contains a very large number instead of `max`.
            bound = None if words == "max" or int(words) > 2**62 else int(words)
            counts = dict(line.split() for line in (group / events).read_text().splitlines())
            return Memory(bound, int((group / peak).read_text()), int(counts["oom_kill"]))
    return None
