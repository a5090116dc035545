"""Filters about a machine's state: who holds its lock, which playbooks were interrupted, and where its objects are."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

LOCK = "trackbox-lock.service"
# The systemd units that take the lock themselves, each with its name for messages.
LOCKING = {
    "trackbox-backup.service": "a backup (trackbox-backup)",
    "trackbox-backup-proof.service": "a restore test (trackbox-backup-proof)",
    "trackbox-gc@collect.service": "the garbage collection (trackbox-gc@collect)",
}
# The playbooks that are refused after an interrupted rotation, because MLflow may still use its second S3 user. These
# playbooks remove this user, or replace this user's key.
ROTATION_FIRST = ("site.yml", "restore.yml", "upgrade.yml")
OWNER = re.compile(r"(?P<playbook>\S+\.yml) of (?P<controller>\S+) process (?P<process>\d+)")


def is_ansible(arguments: str) -> bool:
    """Return whether the command line runs ansible-playbook, directly or through an interpreter."""
    return any(Path(word).name == "ansible-playbook" for word in arguments.split()[:2])


def ancestors(pid: int) -> list[tuple[int, str]]:
    """Return PID and command line of the process `pid` and of its ancestors, the process itself first."""
    table = subprocess.run(["ps", "-wwAo", "pid=,ppid=,args="], check=True, capture_output=True, text=True).stdout
    rows = {int(line.split(None, 2)[0]): line.split(None, 2)[1:] for line in table.splitlines()}
    found = []
    while pid in rows and pid > 1:
        found.append((pid, rows[pid][-1]))
        pid = int(rows[pid][0])
    return found


def lock_owner(purpose: str) -> str:
    """Return a Description for a systemd unit. It contains the playbook, this controller and ansible-playbook's PID."""
    mine = [pid for pid, command in ancestors(os.getpid()) if is_ansible(command)]
    return f"{purpose} of {platform.node()} process {mine[-1] if mine else os.getpid()}"


def lock_is_stale(description: str) -> bool:
    """Return whether the unit's playbook ran on this controller and has ended, or is the playbook that runs now.

    description: the unit's Description, as lock_owner writes it.
    """
    owner = OWNER.fullmatch(description)
    if not owner or owner["controller"] != platform.node():
        return False
    if lock_owner("").split()[-1] == owner["process"]:
        return True
    pid = int(owner["process"])
    return not any(is_ansible(command) for number, command in ancestors(pid) if number == pid)


def machine_states(text: str) -> dict[str, Any]:
    """Return the output of files/states as a mapping.

    held: whether the lock is held. installed: whether Trackbox was installed. unfinished: whether a site.yml was
    interrupted. left: the files that an interrupted restore or upgrade left. rotating: the names of the secrets whose
    rotation was interrupted. objects: the folder that contains the objects, or "". wanted: what minio_data_dir
    contains: "objects", "files" or "". units: the properties of each running service.
    """
    found: dict[str, Any] = {"held": False, "installed": False, "unfinished": False, "units": {}}
    found |= {"left": [], "rotating": [], "objects": "", "wanted": ""}
    lines, _key, rest = text.partition("Id=") if not text.startswith("Id=") else ("", "", text[3:])
    for name, _colon, value in (line.partition(":") for line in lines.splitlines()):
        if name in ("left", "rotating"):
            found[name].append(value)
        elif name in ("objects", "wanted"):
            found[name] = value
        elif name in ("lock", "installed", "unfinished"):
            found["held" if name == "lock" else name] = True
    for block in f"Id={rest}".split("\n\n"):
        unit = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if unit.get("ActiveState") in ("active", "activating", "deactivating", "reloading"):
            found["units"][unit["Id"]] = unit
    return found


def lock_problem(states: Mapping[str, Any], host: str, playbook: str, changes_nothing: bool = False) -> str:
    """Return the error message that refuses a playbook while another one works on the host; empty if none does.

    A lock is ignored if its playbook has ended, and no unit that this playbook started still runs.
    changes_nothing: whether the playbook may run beside a backup and the garbage collection.
    """
    found = work_in_the_way(states["units"]) or lock_in_the_way(states, changes_nothing)
    return f"{host} is being worked on, and {playbook} has changed nothing: {found}" if found else ""


def work_in_the_way(units: Mapping[str, Mapping[str, str]]) -> str:
    """Return a message about a running unit that a playbook started; empty if there is none. Ignore the lock's unit."""
    for name, unit in sorted(units.items()):
        owner = OWNER.fullmatch(unit["Description"])
        if name == LOCK or not owner:
            continue
        short, since = name.removesuffix(".service"), unit["InactiveExitTimestamp"]
        if lock_is_stale(unit["Description"]):
            return (
                f"{unit['Description']} has ended, and its unit {short} still runs there, since {since}. Wait for its "
                f"end, or type there: systemctl stop {short}. Then type {owner['playbook']} again."
            )
        return (
            f"{unit['Description']} runs the unit {short} there, since {since}. Wait for its end; if that playbook has "
            f"ended, type there: systemctl stop {short}."
        )
    return ""


def lock_in_the_way(states: Mapping[str, Any], changes_nothing: bool) -> str:
    """Return who holds the lock, and the remedy; empty if the lock is free, or if its playbook has ended."""
    units: Mapping[str, Mapping[str, str]] = states["units"]
    if LOCK in units:
        unit = units[LOCK]
        if lock_is_stale(unit["Description"]):
            return ""
        return (
            f"{unit['Description']} holds the lock, since {unit['InactiveExitTimestamp']}. Wait for its end; if it has "
            "ended without giving the lock back, type there: systemctl stop trackbox-lock."
        )
    if changes_nothing or not states["held"]:
        return ""
    for name, words in LOCKING.items():
        if name in units:
            return (
                f"{words} holds the lock, since {units[name]['InactiveExitTimestamp']}. Wait for its end, or type "
                f"there: systemctl stop {name.removesuffix('.service')}."
            )
    return "a program holds /run/trackbox.lock. Wait for its end; fuser -v /run/trackbox.lock names it there."


def left_problem(states: Mapping[str, Any], host: str, playbook: str, replaces_data: bool = False) -> str:
    """Return the error message that refuses a playbook after an interrupted restore or upgrade; empty if it may run.

    playbook: the playbook that begins. The interrupted playbook itself may run again. replaces_data: whether the
    playbook removes all data, and may therefore always run.
    """
    if replaces_data:
        return ""
    if "half-restored" in states["left"] and playbook != "restore.yml":
        return (
            f"A restore onto this machine did not end, so what {host} holds is not whole, and {playbook} has changed "
            f"nothing: type ansible-playbook playbooks/restore.yml -e restore_confirm={host} again."
        )
    if {"upgrading", "dumps/unfinished"} & set(states["left"]) and playbook != "upgrade.yml":
        return (
            f"An upgrade of {host} did not end, and {playbook} has changed nothing: type ansible-playbook "
            "playbooks/upgrade.yml again."
        )
    return ""


def rotation_problem(states: Mapping[str, Any], host: str, playbook: str, files: Sequence[str]) -> str:
    """Return the error message that refuses a playbook after an interrupted rotation; empty if the playbook may run.

    files: the files NAME.new on the controller, which are new secrets that have not replaced the old ones yet. They do
    not matter on a machine without an installation, because no service uses the old secrets. After an interrupted
    restore or upgrade, the message is empty, because the user has to repeat the restore or the upgrade before the
    rotation.
    """
    new = [Path(file).stem for file in files] if states["installed"] else []
    names = ",".join(sorted({*states["rotating"], *new}))
    if not names or states["left"] or playbook not in ROTATION_FIRST:
        return ""
    return (
        f"A rotation of secrets of {host} did not end, and {playbook} has changed nothing: type ansible-playbook "
        f"playbooks/rotate-secrets.yml -e rotate={names} again."
    )


def objects_problem(states: Mapping[str, Any], host: str, folder: str) -> str:
    """Return the error message that refuses a folder for MinIO's objects; empty if MinIO may use it.

    The folder is refused while the objects are in another one, or if it contains other files. folder: minio_data_dir.
    """
    objects, wanted = states["objects"], states["wanted"]
    if objects in ("", folder):
        if wanted == "files" and not objects:
            return (
                f"minio_data_dir is {folder}, and that folder of {host} holds files that are not MinIO's: empty it, or "
                "name another folder."
            )
        return ""
    if wanted == "objects":
        return (
            f"{host} has objects in {objects}, where MinIO had them last, and in {folder}, which minio_data_dir names: "
            "finish the move, or rename the folder that is not to be used, and run site.yml again."
        )
    return (
        f"The objects of {host} are in {objects}, and minio_data_dir is {folder}: move them there first (on {host}: "
        f"systemctl stop minio; mkdir -p {folder}; find {objects} -mindepth 1 -maxdepth 1 -exec mv -t {folder} {{}} +) "
        f"and type it again, or set minio_data_dir to {objects}."
    )


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return a mapping from the name of each filter to its function."""
        return {
            "left_problem": left_problem,
            "lock_owner": lock_owner,
            "lock_problem": lock_problem,
            "machine_states": machine_states,
            "objects_problem": objects_problem,
            "rotation_problem": rotation_problem,
        }
