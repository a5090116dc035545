"""How much memory a machine of roles/local_vm may use and has used, as its control group on the controller says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
# Version 2 of control groups, and version 1: the limit, the peak, and the file that counts what was killed.
FILES = {
    "memory.max": ("memory.peak", "memory.events"),
    "memory.limit_in_bytes": ("memory.max_usage_in_bytes", "memory.oom_control"),
}


@dataclass(frozen=True)
class Memory:
    """Bytes that a machine may use (None: no bound), the most that it used, and how many were killed for it."""

    limit: int | None
    peak: int
    killed: int


def memory_of(name: str) -> Memory | None:
    """That of the machine of this name, since it was started; None where the controller counts no memory."""
    for limit, (peak, events) in FILES.items():
        for group in (GROUPS / f"trackbox-{name}", GROUPS / f"memory/trackbox-{name}"):
            if not (group / limit).exists():
                continue
            words = (group / limit).read_text().strip()
            # Version 1 has no word for it: the largest number of pages.
            bound = None if words == "max" or int(words) > 2**62 else int(words)
            counts = dict(line.split() for line in (group / events).read_text().splitlines())
            return Memory(bound, int((group / peak).read_text()), int(counts["oom_kill"]))
    return None
