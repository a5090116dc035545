"""Measure the PSS of all idle services. PSS divides a memory page that n processes share by n."""

from __future__ import annotations

import time

import pss
from harness import Bench
from report import Result, Target


def measure(bench: Bench) -> Result:
    """Measure the PSS of each unit in MB, 20 s after a restart."""
    pss.refresh(bench)
    time.sleep(20)
    rows = pss.look(bench)
    table = ["| service | processes | PSS, MB |", "| --- | ---: | ---: |"]
    table += [f"| {unit} | {count} | {megabytes:.0f} |" for unit, count, megabytes in rows]
    total = sum(megabytes for _, _, megabytes in rows) / 1024
    return Result([Target("PSS of all services at rest", total, 0.9, "GB")], "\n".join(table))
