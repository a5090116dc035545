"""The power is cut while clients write. Data not yet on the disk are lost, but every acknowledged write is stored."""

from __future__ import annotations

import random
import statistics
import time
from pathlib import Path

import pytest
from machine import Machine
from power_cut import Power
from writers import acknowledged, check_stored, writing

# The number of cuts, and the limit in seconds for a restart on a busy machine. docs/reliability.md shows measurements.
TIMES, BACK = 10, 180


@pytest.mark.parametrize("settings", ["innodb_flush_log_at_trx_commit = 1", "sync_binlog = 1"])
def test_the_database_syncs_each_transaction(power: Power, settings: str) -> None:
    assert f"\n{settings}\n" in (power.folder / "rootfs/etc/mysql/mysql.conf.d/trackbox.cnf").read_text()


def test_after_each_of_ten_power_cuts_all_services_return_with_every_acknowledged_write(
    machine: Machine, power: Power, tmp_path: Path
) -> None:
    seed = time.time_ns()
    chance = random.Random(seed)
    print(f"seed {seed}")
    took = []
    for cut in range(TIMES):
        told = tmp_path / f"told-{cut}"
        with writing(machine, told, 60, 2) as clients:
            time.sleep(chance.uniform(6, 14))
            dark = power.cut()
            clients.kill()
        start = time.monotonic()
        power.on()
        machine.wait_for_health(200, BACK)
        took.append(time.monotonic() - start)
        lines = acknowledged(told, dark)
        assert len(lines) > 10
        found = check_stored(machine, told, dark)
        assert found == {"held": len(lines), "lost": [], "runs": 2}, f"cut {cut} of seed {seed}"
    print(f"ready after {statistics.median(took):.0f} s, {max(took):.0f} s at the most")
