"""After a restore, clients get the version that the restored registry's alias names, and its log is uploaded."""

from __future__ import annotations

from endpoint import Endpoint, alias, until
from machine import Machine
from testinfra.host import Host

DELIVERED = "find /var/lib/minio/inference/fraud/date=* -mindepth 1 -maxdepth 1 | wc -l"


def test_a_restored_version_replaces_another_one_of_its_number(
    machine: Machine, host: Host, endpoint: Endpoint, versions: list[str]
) -> None:
    first, second = (endpoint.serve(version) for version in versions)
    assert first != second
    machine.play(playbook="playbooks/backup.yml")
    # Delete the model, and register the first version's files under both numbers. The restore must undo this.
    machine.run_client("client_recreate.py", "fraud", versions[0], versions[1])
    alias(machine, versions[1])
    until(
        lambda: endpoint.ask("fraud/ping").status == 200 and endpoint.score() == (versions[1], first),
        120,
        "it is not served",
    )
    confirm = '--extra-vars={"restore_confirm": "{{ inventory_hostname }}"}'
    output = machine.play(confirm, playbook="playbooks/restore.yml")
    assert f"fraud@champion (version {versions[1]}) is served" in " ".join(output.split())
    assert endpoint.score() == (versions[1], second)
    previous = endpoint.ask(f"v2/models/fraud/versions/{versions[0]}/ready")
    assert previous.status == 200
    delivered = int(host.check_output(DELIVERED))
    endpoint.score()
    until(lambda: int(host.check_output(DELIVERED)) > delivered, 180, "no log is delivered")
