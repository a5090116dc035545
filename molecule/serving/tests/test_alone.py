"""Without MySQL, MLflow and MinIO, scoring works even after a reboot. The log is uploaded once the store is back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from endpoint import Endpoint, until
from machine import Machine, which_boot
from testinfra.host import Host

ALONE = "mysql minio mlflow.socket mlflow"
FOLDER = "/var/lib/trackbox-serving/log/fraud"


@contextmanager
def alone(machine: Machine, host: Host) -> Iterator[None]:
    """Keep MySQL, MinIO and MLflow stopped during the `with` block, even after a reboot."""
    host.check_output(f"systemctl disable --now {ALONE}")
    try:
        yield
    finally:
        host.check_output(f"systemctl enable --now {ALONE}")
        machine.wait_for_health(200, 120)


def test_after_a_reboot_without_the_other_services_the_same_versions_answer(
    machine: Machine, host: Host, endpoint: Endpoint, versions: list[str]
) -> None:
    first = endpoint.serve(versions[0])
    before = endpoint.serve(versions[1])
    with alone(machine, host):
        assert endpoint.score() == (versions[1], before)
        boot = which_boot(host)
        host.run("systemd-run --on-active=1 --timer-property=AccuracySec=100ms systemctl reboot")
        start = time.monotonic()
        until(lambda: which_boot(host) not in ("", boot), 120, "the machine did not reboot")
        endpoint.wait(versions[1], 240)
        print(f"the first answer {time.monotonic() - start:.0f} s after the reboot was ordered")
        assert endpoint.score() == (versions[1], before)
        previous = endpoint.ask(f"v2/models/fraud/versions/{versions[0]}/ready")
        assert previous.status == 200
        # A worker closes its log file after a minute.
        until(lambda: host.run(f"ls {FOLDER}/*/*.parquet").rc == 0, 90, "no log was closed")
        waiting = host.check_output(f"cd {FOLDER}; ls */*.parquet").split()
        status = "cat /var/lib/trackbox-serving/status.json"
        until(lambda: json.loads(host.check_output(status))["log"]["problem"], 60, "nobody says that the log waits")
    until(lambda: host.run(f"ls {FOLDER}/*/*.parquet").rc, 180, "the log still waits")
    stored = host.check_output("ls -R /var/lib/minio/inference/fraud")
    for path in waiting:
        number, name = path.split("/")
        assert f"version-{number}-{name}" in stored
    assert json.loads(host.check_output(status))["log"]["problem"] == ""
    assert endpoint.serve(versions[0]) == first
