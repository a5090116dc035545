"""The clock of a single service jumps. libfaketime simulates the jump, because a container uses its host's clock."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machine import Machine
from testinfra.host import Host
from writers import acknowledged, check_stored, writing

AHEAD = Path("/run/ahead")  # file with the offset of the service's clock, in the notation of faketime(1)


def ask(machine: Machine, call: str, **body: str) -> dict[str, Any]:
    """Call MLflow's API as admin; return the decoded response."""
    admin = {"user": "admin", "password": machine.secret("admin_password")}
    answer = machine.ask(f"/api/2.0/mlflow/{call}", method="POST", body=body, **admin)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = json.loads(answer.body)
    return found


def servers_clock(machine: Machine) -> float:
    """Return MLflow's clock as Unix time, read from the creation time of a new experiment."""
    name = f"clock-{time.time()}"
    ask(machine, "experiments/create", name=name)
    [found] = ask(machine, "experiments/search", max_results="1", filter=f"name = '{name}'")["experiments"]
    return float(found["creation_time"]) / 1000


@contextmanager
def own_clock(host: Host, unit: str, then: str) -> Iterator[None]:
    """Run a service with libfaketime, which reads the offset of the clock from the file AHEAD.

    then: command to run after the unit's settings are added, and after they are removed.
    """
    host.check_output("apt-get install --quiet --yes --no-install-recommends libfaketime")
    [library] = host.check_output("ls /usr/lib/*/faketime/libfaketime.so.1").split()
    folder = f"/run/systemd/system/{unit}.service.d"
    settings = f"LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE={AHEAD} FAKETIME_CACHE_DURATION=1"
    settings += " FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_DISABLE_SHM=1"
    host.check_output(
        f"echo +0 >{AHEAD}; mkdir {folder}; printf '[Service]\\nEnvironment={settings}\\n' >{folder}/clock.conf; "
        f"systemctl daemon-reload; {then}"
    )
    try:
        yield
    finally:
        host.check_output(f"rm -r {folder} {AHEAD}; systemctl daemon-reload; {then}")


def test_a_clock_jump_of_40_days_collects_nothing_deleted_today(machine: Machine, host: Host) -> None:
    run = ask(machine, "runs/create", experiment_id="0")["run"]["info"]["run_id"]
    ask(machine, "runs/delete", run_id=run)
    with own_clock(host, "trackbox-gc@", "systemctl start trackbox-gc@collect"):
        host.check_output(f"echo +40d >{AHEAD}")
        assert host.run("systemctl start trackbox-gc@collect").rc != 0
        told = host.file("/var/lib/trackbox/garbage/last.json").content_string
        assert "the clock was put forward by 40.0 days" in told
    ask(machine, "runs/restore", run_id=run)


def test_clients_can_write_while_the_servers_clock_jumps(machine: Machine, host: Host, tmp_path: Path) -> None:
    told, seen = tmp_path / "told", []
    with own_clock(host, "mlflow", "systemctl restart mlflow"):
        machine.wait_for_health(200, 60)
        with writing(machine, told, 40, 2) as clients:
            # libfaketime shifts MLflow's clock and cannot shift MinIO's. The shift is less than 15 minutes, because
            # MinIO refuses requests with a larger clock skew.
            for ahead in ("+0", "+14m", "-14m", "+0"):
                host.check_output(f"echo {ahead} >{AHEAD}")
                time.sleep(5)
                seen.append(round((servers_clock(machine) - time.time()) / 60))
            assert clients.wait(120) == 0
    machine.wait_for_health(200, 60)
    every = [json.loads(line) for line in told.read_text().splitlines()]
    print(f"minutes that the server's clock was off: {seen}; {len(every)} calls")
    assert seen == [0, 14, -14, 0]
    assert [line for line in every if "error" in line] == []
    assert check_stored(machine, told) == {"held": len(acknowledged(told)), "lost": [], "runs": 2}
