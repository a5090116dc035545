"""Each promise (a check of playbooks/verify.yml) is violated once on the machine, and verify.yml must report it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import BREAKINGS, Machine
from testinfra.host import Host

# Groups whose violations do not affect services. After each other group, the services are restarted.
AT_REST = ["files", "settings"]
SERVICES = "mysql minio mlflow nginx trackbox-serving-follower trackbox-prometheus trackbox-node-exporter"

SHELL = r"""
set -eu
shopt -s nullglob
# Python's files are links into uv's cache: what is written to is a copy.
KEEP() { local file; for file; do cp -p "$file" "$file.copy"; mv "$file" "$file.kept"; mv "$file.copy" "$file"; done; }
BACK() { local file; for file; do mv "$file.kept" "$file"; done; }
LOOSEN() {
  local unit line
  for unit; do
    mkdir -p /etc/systemd/system/$unit.service.d
    {
      echo '[Service]'
      printf '%s=\n' SystemCallFilter SystemCallArchitectures RestrictAddressFamilies IPAddressDeny
      printf '%s=false\n' NoNewPrivileges ProtectSystem ProtectHome RestrictNamespaces PrivateUsers PrivateDevices \
        PrivateTmp PrivateNetwork ProtectKernelModules ProtectKernelTunables ProtectKernelLogs ProtectClock \
        ProtectHostname ProtectControlGroups RestrictSUIDSGID RestrictRealtime LockPersonality MemoryDenyWriteExecute
      printf '%s\n' CapabilityBoundingSet=~ DevicePolicy=auto ProtectProc=default UMask=0022 LimitDATA=infinity
    } >/etc/systemd/system/$unit.service.d/zz.conf
  done
}
DROPIN() { printf '%s\n' '[Service]' "$2" >/etc/systemd/system/$1.service.d/zz.conf; systemctl daemon-reload; }
MINIO() { /opt/trackbox/minio/sdk/bin/python - "$1" <<'END'
import json, sys
from minio import Minio, MinioAdmin
from minio.credentials import StaticProvider
root = ("trackbox-root", open("/etc/trackbox/minio/root_password").read().strip())
s3 = Minio(endpoint="127.0.0.1:9000", access_key=root[0], secret_key=root[1], secure=False)
admin = MinioAdmin(endpoint="127.0.0.1:9000", credentials=StaticProvider(*root), secure=False)
anybody = {"Effect": "Allow", "Principal": {"AWS": ["*"]}}
public = {"Version": "2012-10-17", "Statement": [
    {**anybody, "Action": ["s3:GetBucketLocation", "s3:ListBucket"], "Resource": ["arn:aws:s3:::datasets"]},
    {**anybody, "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::datasets/*"]}]}
exec(sys.argv[1])
END
}
"""


@pytest.fixture(params=BREAKINGS)
def broken(request: pytest.FixtureRequest, machine: Machine, host: Host) -> Iterator[tuple[str, str]]:
    """Break a group of promises; yield the group's name, and the settings for verify.yml as JSON."""
    group = BREAKINGS[request.param]
    settings = {name: value for each in group.values() for name, value in each.get("settings", {}).items()}
    revision = host.check_output("mysql --batch --skip-column-names -e 'SELECT * FROM mlflow.alembic_version'")
    known = {"SETTINGS": "/etc/mysql/mysql.conf.d/trackbox.cnf", "REVISION": revision}

    def shell(command: str) -> str:
        for word, value in known.items():
            command = command.replace(word, value)
        return f"bash -c {shlex.quote(SHELL + command)}"

    try:
        for each in group.values():
            host.check_output(shell(each.get("break", "")))
        if request.param == "services":
            machine.wait_for_health(200, 60)
        yield request.param, json.dumps(settings)
    finally:
        mends = [each["mend"] for each in reversed(group.values()) if each.get("mend")]
        failed = [mend for mend in mends if host.run(shell(mend)).rc]
        if request.param not in AT_REST:
            host.check_output(f"systemctl daemon-reload && systemctl restart {SERVICES}")
        machine.play("--tags=users")
        machine.wait_for_health(200, 60)
        assert failed == []


def test_a_broken_promise_is_reported(machine: Machine, broken: tuple[str, str], tmp_path: Path) -> None:
    group, settings = broken
    found = machine.promises(tmp_path, "--extra-vars", settings, status=2)
    seen = {name for name, each in found.items() if each["state"] == "broken"}
    wanted = set(BREAKINGS[group])
    assert wanted - seen == set(), "broken, but not reported"
    # A check that cannot run counts as broken, too. But such a result does not show that verify.yml found the
    # violation.
    blind = {name: found[name]["detail"] for name in wanted if "cannot be looked at" in found[name]["detail"]}
    assert blind == {}, "broken, but not looked at"
    allowed = wanted | {name for each in BREAKINGS[group].values() for name in each.get("also", [])}
    more = {name: found[name]["detail"] for name in seen - allowed}
    assert more == {}, "reported, but not broken"


def test_afterwards_every_promise_is_held_again(machine: Machine, tmp_path: Path) -> None:
    machine.promises(tmp_path)
