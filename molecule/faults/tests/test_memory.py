"""When memory runs out, the kernel kills the training run, not a service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from machine import Machine
from power_cut import Power
from testinfra.host import Host
from vm_memory import memory_of

UNITS = "mysql minio mlflow nginx"
LIMIT = "3G"  # memory of the machine, of which the services use 1 GB

# A program that writes the synthetic transactions 25 times into a file, which then does not fit into memory.
MUCH = """
import sys
from fraud.data import synthetic
text = synthetic.generate().to_csv(index=False)
head, _, rows = text.partition("\\n")
with open(sys.argv[1], "w") as file:
    file.write(head + "\\n")
    for _ in range(25):
        file.write(rows)
"""


@pytest.fixture
def small(machine: Machine, power: Power) -> Iterator[None]:
    """Boot the machine with LIMIT as its memory; afterwards boot it without a limit."""
    power.cut()
    power.on(memory=LIMIT)
    machine.wait_for_health(200, 60)
    yield
    power.cut()
    power.on()
    machine.wait_for_health(200, 60)


def test_only_the_training_run_is_killed_when_memory_runs_out(machine: Machine, host: Host, small: None) -> None:
    memory = memory_of(machine.name)
    assert memory
    assert memory.limit == 3 * 2**30
    python = "/opt/trackbox/training/fraud/environment/bin/python"
    host.check_output(f"{python} -c '{MUCH}' /var/tmp/much.csv")
    pids = f"systemctl show --property=MainPID,NRestarts {UNITS}"
    before, workers = host.check_output(pids), host.check_output("pgrep --uid mlflow")
    try:
        ended = host.run("fraud train --quiet --data /var/tmp/much.csv; exit $?")
        assert ended.rc == 137, ended.stdout + ended.stderr
    finally:
        host.check_output("rm /var/tmp/much.csv")
    assert host.check_output(pids) == before
    assert host.check_output("pgrep --uid mlflow") == workers
    assert machine.ask("/healthz").status == 200
