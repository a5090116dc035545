"""The machine is rebooted while clients write. Its services start in time, and no acknowledged write is lost."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from machine import Machine, reboot
from testinfra.host import Host
from writers import acknowledged, check_stored, writing

TIMES = 3


def test_after_each_of_three_restarts_every_acknowledged_write_is_stored(
    machine: Machine, host: Host, tmp_path: Path
) -> None:
    took = []
    for number in range(TIMES):
        told = tmp_path / f"told-{number}"
        with writing(machine, told, 60, 2) as clients:
            time.sleep(10)
            took.append(reboot(machine, host))
            clients.kill()
        lines = acknowledged(told)
        assert len(lines) > 10
        found = check_stored(machine, told)
        assert (found["held"], found["lost"]) == (len(lines), []), f"restart {number}"
    print(f"ready after {statistics.median(took):.0f} s, {max(took):.0f} s at the most")
