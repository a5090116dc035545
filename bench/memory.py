"""What all services take at rest, by PSS: a page that several share counts once."""

from __future__ import annotations

import time

import pss
from harness import Bench
from report import Reach, Result


def measure(bench: Bench) -> Result:
    """MB of PSS, by unit, a while after a restart and a few requests."""
    pss.refresh(bench)
    time.sleep(20)
    rows = pss.look(bench)
    table = ["| service | processes | PSS, MB |", "| --- | ---: | ---: |"]
    table += [f"| {unit} | {count} | {megabytes:.0f} |" for unit, count, megabytes in rows]
    total = sum(megabytes for _, _, megabytes in rows) / 1024
    return Result([Reach("PSS of all services at rest", total, 0.9, "GB")], "\n".join(table))
