"""After an interrupted rotation, site.yml, restore.yml and upgrade.yml fail, and print the command to repeat."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_run import FACTS, ROOT, inventory_of, play, preflight

# A shell script that runs a command with its own /etc and /var/lib, as if a rotation of the secret $1 had failed.
MACHINE = """
mount -t overlay -o lowerdir=/etc,upperdir=$0/etc,workdir=$0/work overlay /etc
mount -t tmpfs none /var/lib
mkdir -p /var/lib/trackbox/rotating /etc/trackbox
if [ "$1" ]; then touch /var/lib/trackbox/rotating/$1; fi
shift
exec "$@"
"""


def machine(folder: Path, mark: str) -> list[str]:
    """Return a command prefix. A command with this prefix runs as if Trackbox were installed on this machine.

    mark: the secret whose rotation was interrupted on the machine; empty if none was.
    """
    unshare = [shutil.which("unshare") or "unshare", "--user", "--map-root-user", "--mount"]
    for name in ("etc", "work"):
        (folder / name).mkdir(exist_ok=True)
    command = [*unshare, "sh", "-ec", MACHINE, str(folder), mark]
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespaces with overlayfs here")
    return command


@pytest.mark.parametrize("playbook", ["site.yml", "restore.yml", "upgrade.yml"])
@pytest.mark.parametrize(
    ("marked", "new", "named"),
    [
        ("", ["nginx_salt", "admin_password"], "admin_password,nginx_salt"),
        ("mlflow_s3_secret", [], "mlflow_s3_secret"),
    ],
)
def test_the_playbook_names_the_rotation_that_did_not_end(
    tmp_path: Path, playbook: str, marked: str, new: list[str], named: str
) -> None:
    (tmp_path / ".secrets").mkdir()
    for name in new:
        (tmp_path / f".secrets/{name}.new").write_text("a new secret")
    path = ROOT / "playbooks" / playbook
    if playbook == "site.yml":
        # Run only preflight.yml, with which site.yml begins. Use the facts of a machine with enough memory and disk.
        path = tmp_path / "preflight.json"
        path.write_text(json.dumps(preflight()))
    inventory = inventory_of(tmp_path, {"vm": {"given_facts": FACTS}})
    done = play(path, inventory, prefix=machine(tmp_path, marked))
    assert done.refused("vm") == (
        f"A rotation of secrets of vm did not end, and {playbook} has changed nothing: type "
        f"ansible-playbook playbooks/rotate-secrets.yml -e rotate={named} again."
    )
