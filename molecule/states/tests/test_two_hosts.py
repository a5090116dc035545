"""Two hosts share one backup repository, and neither deletes or restores backups of the other host."""

from __future__ import annotations

import json
import shlex

from testinfra.host import Host

# A program that makes small backups of two hosts, with a retention of one backup for each host. It prints the remaining
# backups with their hosts. Then it prints for each host which host's backup a restore would use.
PROGRAM = """
import json, pathlib, sys, tempfile
from dataclasses import replace
from trackbox_backup import backup, restore, settings
from trackbox_backup.refused import Refused
known = replace(settings.load(), target=sys.argv[1], keep={"daily": 1})
def made(host, number, whole=True):
    with tempfile.TemporaryDirectory() as folder:
        one = backup.Backup(replace(known, host=host), pathlib.Path(folder))
        one.run = f"2026112{number}T000000Z"
        one.repository.open(make=True)
        one.save(backup.DATABASE, lambda out: out.write(b"-- dump of " + host.encode()))
        if whole:
            manifest = {"format": 1, "run": one.run, "host": host}
            one.save(backup.MANIFEST, lambda out: out.write(json.dumps(manifest).encode()), backup.WHOLE)
        return one
def left(one):
    there = one.repository.snapshots(backup.TAG)
    return sorted({f"{s['hostname']} {t}" for s in there for t in s["tags"] if t[0] == "2"})
def newest(host):
    with tempfile.TemporaryDirectory() as folder:
        try:
            return restore.Restore(replace(known, host=host), pathlib.Path(folder), "latest").manifest["host"]
        except Refused as refused:
            return str(refused)
made("a", 1)
made("b", 2)
made("b", 3, whole=False)  # at work, or cut off: that is b's to know
last = made("a", 4)
last.forget()
print(json.dumps([left(last), newest("a"), newest("b"), newest("c")]))
"""


def test_each_host_deletes_and_restores_only_its_own_backups(host: Host) -> None:
    host.check_output("rm -rf /srv/two")
    command = f"cd /opt/trackbox/backup && /opt/trackbox/minio/sdk/bin/python -B -c {shlex.quote(PROGRAM)} /srv/two"
    try:
        left, of_a, of_b, of_c = json.loads(host.check_output(command).splitlines()[-1])
    finally:
        host.check_output("rm -rf /srv/two")
    assert left == ["a 20261124T000000Z", "b 20261122T000000Z", "b 20261123T000000Z"]
    assert (of_a, of_b) == ("a", "b")
    assert "holds backups of several hosts, and none of c" in of_c
    assert "Name the one that is meant by restore_backup" in of_c
