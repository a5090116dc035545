"""After a change of minio_data_dir, site.yml refuses to start MinIO on an empty folder until the objects are moved."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from interrupted_playbooks import ARTIFACTS, said
from machine import HOST, Machine, changes
from testinfra.host import Host

OLD, NEW = "/var/lib/minio", "/srv/disk-2/objects_of+ML@home.d"
MOVED = f"--extra-vars=minio_data_dir={NEW}"


@pytest.mark.parametrize("stopped", [False, True])
def test_another_folder_is_refused_before_anything_is_changed(machine: Machine, host: Host, stopped: bool) -> None:
    if stopped:
        host.check_output("systemctl stop minio")
    try:
        output = said(machine.play(MOVED, status=2))
    finally:
        host.check_output("systemctl start minio")
    assert f"The objects of {HOST} are in {OLD}, and minio_data_dir is {NEW}: move them there first" in output
    assert changes(output) == []
    assert not host.file(NEW).exists


def test_the_old_variable_is_refused(machine: Machine) -> None:
    output = said(machine.play("--extra-vars=trackbox_object_folder=/srv/objects", status=2))
    assert "trackbox_object_folder is called minio_data_dir now: rename it in your variables." in output


def move(host: Host, sentence: str) -> None:
    """Run on the machine the commands that an error message names."""
    commands, *_ = re.findall(r"move them there first \(on \S+: (.*?)\) and type it again", sentence)
    host.check_output(commands.replace("{}", "'{}'"))


def test_objects_moved_by_the_printed_commands_are_served_backed_up_and_watched(
    machine: Machine, host: Host, tmp_path: Path
) -> None:
    admin = {"user": "admin", "password": machine.secret("admin_password")}
    assert machine.ask(f"{ARTIFACTS}/moved.bin", method="PUT", body="before", **admin).status == 200
    move(host, said(machine.play(MOVED, status=2)))
    machine.play(MOVED)
    try:
        assert machine.ask(f"{ARTIFACTS}/moved.bin", **admin).body == b'"before"'
        assert machine.ask(f"{ARTIFACTS}/new.bin", method="PUT", body="after", **admin).status == 200
        assert host.run(f"find {NEW} -path '*new.bin*' -name xl.meta").stdout
        machine.play(MOVED, playbook="playbooks/backup.yml")
        # The unit minio-watermark must check the disk of the new folder.
        host.check_output("systemctl is-active minio-watermark")
        assert NEW in host.check_output("systemctl cat minio-watermark")
        found = machine.promises(tmp_path, MOVED)
        assert {name: one["detail"] for name, one in found.items() if one["state"] == "broken"} == {}
        assert changes(machine.play(MOVED)) == []
    finally:
        move(host, said(machine.play(status=2)))
        machine.play()
    assert machine.ask(f"{ARTIFACTS}/moved.bin", **admin).body == b'"before"'
    host.check_output(f"rmdir {NEW}")


def test_half_a_move_is_refused(machine: Machine, host: Host) -> None:
    host.check_output(f"mkdir -p {NEW}; cp -a {OLD}/.minio.sys {NEW}")
    try:
        output = said(machine.play(MOVED, status=2))
    finally:
        host.check_output(f"rm -r {NEW}")
    assert f"{HOST} has objects in {OLD}, where MinIO had them last, and in {NEW}, which minio_data_dir names" in output
