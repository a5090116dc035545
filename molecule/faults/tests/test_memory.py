"""A training run that eats all memory is killed; the services are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import Machine
from power_supply import Power
from testinfra.host import Host

UNITS = "mysql minio mlflow nginx"
LIMIT = 3 * 2**30  # bytes: of them the services take one
# The synthetic transactions, many times over: more than fits.
MUCH = """
import sys
from fraud import synthetic
text = synthetic.generate().to_csv(index=False)
head, _, rows = text.partition("\\n")
with open(sys.argv[1], "w") as file:
    file.write(head + "\\n")
    for _ in range(25):
        file.write(rows)
"""


@pytest.fixture
def small(machine: Machine, power: Power) -> Iterator[None]:
    """The machine, booted with less memory; control groups of version 1 bound it from outside."""
    group = Path("/sys/fs/cgroup/memory") / f"trackbox-{machine.name}-small"
    if not group.parent.is_dir():
        pytest.skip("the controller has no memory control groups of version 1 to bound a machine with")
    group.mkdir(exist_ok=True)
    (group / "memory.limit_in_bytes").write_text(str(LIMIT))
    power.cut()
    power.on(within=str(group))
    machine.wait_for_health(200, 60)
    yield
    power.cut()
    power.on()
    machine.wait_for_health(200, 60)
    group.rmdir()


def test_a_training_run_that_eats_all_memory_is_killed_and_no_service(
    machine: Machine, host: Host, small: None
) -> None:
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
