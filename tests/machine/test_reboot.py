"""After a reboot all services run again, with their data."""

from machine import Machine, reboot
from testinfra.host import Host


def test_after_a_reboot_everything_is_back_with_the_old_runs(machine: Machine, host: Host) -> None:
    user = {"user": "admin", "password": machine.secret("admin_password")}
    path = "/api/2.0/mlflow/runs/search"
    runs = machine.ask(path, method="POST", body={"experiment_ids": ["1"]}, **user)
    assert runs.status == 200
    reboot(machine, host)
    after = machine.ask(path, method="POST", body={"experiment_ids": ["1"]}, **user)
    assert after.body == runs.body
