"""A full journal deletes its oldest entries, so no writer waits and the disk does not fill."""

from __future__ import annotations

import json
from pathlib import Path

from machine import Machine
from testinfra.host import Host
from writers import acknowledged, check_stored, writing

# 800 MB of random data become about 1.07 GB of base64. Compression saves at most a quarter of it, so the rest exceeds
# system_journal_max_use (500M).
FLOOD = "head -c 800M /dev/urandom | base64 --wrap=40000 | systemd-cat --identifier=flood"


def size(host: Host) -> int:
    """Return the size of the journal, in bytes."""
    return int(host.check_output("du -sb /var/log/journal").split()[0])


def test_clients_can_write_while_the_journal_overflows(machine: Machine, host: Host, tmp_path: Path) -> None:
    told = tmp_path / "told"
    with writing(machine, told, 150, 2) as clients:
        host.check_output(f"timeout 120 sh -c '{FLOOD}'; journalctl --sync")
        taken = size(host)
        clients.terminate()
    lines, every = acknowledged(told), [json.loads(line) for line in told.read_text().splitlines() if line[-1:] == "}"]
    slowest = max(one["took"] for one in every)
    print(f"{taken / 2**20:.0f} MiB of journal, {len(lines)} calls, the slowest {slowest:.1f} s")
    assert 400 * 2**20 < taken < 560 * 2**20
    assert len(lines) > 100
    assert [one for one in every if "error" in one] == []
    assert slowest < 30
    assert check_stored(machine, told)["lost"] == []
    # The journal must still store a later entry.
    host.check_output("echo after the flood | systemd-cat --identifier=flood; journalctl --sync")
    assert "after the flood" in host.check_output("journalctl --quiet --identifier=flood --lines=1")
    # Free the space again.
    host.check_output("journalctl --rotate --vacuum-size=50M")
