"""After a reboot all is back by itself."""

import time

from machine import Machine
from testinfra.host import Host


def boot(host: Host) -> str:
    """Which boot this is; nothing while the machine does not answer."""
    try:
        return str(host.run("cat /proc/sys/kernel/random/boot_id").stdout)
    except RuntimeError:  # SSH cannot connect
        return ""


def test_after_a_reboot_everything_is_back_with_the_old_runs(machine: Machine, host: Host) -> None:
    user = {"user": "admin", "password": machine.secret("admin_password")}
    path = "/api/2.0/mlflow/runs/search"
    before, runs = boot(host), machine.ask(path, method="POST", body={"experiment_ids": ["1"]}, **user)
    assert runs.status == 200
    start = time.monotonic()
    host.run("systemd-run --on-active=1 --timer-property=AccuracySec=100ms systemctl reboot")
    while boot(host) in ("", before):
        assert time.monotonic() - start < 60, "the machine did not reboot"
        time.sleep(1)
    machine.wait_for_health(200, 60)
    after = machine.ask(path, method="POST", body={"experiment_ids": ["1"]}, **user)
    assert after.body == runs.body
