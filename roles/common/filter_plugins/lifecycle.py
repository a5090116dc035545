"""Filters of the playbooks that take an installation through its life: who holds its lock, what came with it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from typing import Any


def ancestors(pid: int) -> list[tuple[int, str]]:
    """Return number and command of this process and of those that it comes from, itself first."""
    table = subprocess.run(["ps", "-Ao", "pid=,ppid=,args="], check=True, capture_output=True, text=True).stdout
    rows = {int(line.split(None, 2)[0]): line.split(None, 2)[1:] for line in table.splitlines()}
    found = []
    while pid in rows and pid > 1:
        found.append((pid, rows[pid][-1]))
        pid = int(rows[pid][0])
    return found


def lock_owner(purpose: str) -> str:
    """Return what the lock's description says: the purpose, this controller, the process of its ansible-playbook."""
    mine = [pid for pid, command in ancestors(os.getpid()) if "ansible" in command]
    return f"{purpose} of {platform.node()} process {mine[-1] if mine else os.getpid()}"


def lock_is_stale(description: str) -> bool:
    """Return whether its owner is a process of this controller that has ended, or is this one."""
    words = description.split()
    if len(words) < 5 or words[-4] != "of" or words[-3] != platform.node() or not words[-1].isdecimal():
        return False
    if lock_owner("").split()[-1] == words[-1]:
        return True
    return not any("ansible" in command for pid, command in ancestors(int(words[-1])) if pid == int(words[-1]))


def packages_since(before: Sequence[str], now: Sequence[str]) -> dict[str, list[str]]:
    """Return the packages that came, and a line for each whose version changed, since an installation.

    before, now: lines `installed:NAME:VERSION`, as tasks/look.yml asks dpkg-query for them; others are passed over.
    """

    def versions(lines: Sequence[str]) -> dict[str, str]:
        parts = [line.split(":", 2) for line in lines if line.startswith("installed:")]
        return {name: version for _, name, version in parts}

    old, new = versions(before), versions(now)
    changed = [f"{name} {old[name]} -> {new[name]}" for name in sorted(new) if old.get(name, new[name]) != new[name]]
    return {"came": sorted(new.keys() - old.keys()), "changed": changed}


def seen(text: str) -> dict[str, list[str]]:
    """Return what tasks/look.yml saw, by the kinds that files/look lists; of each installed package the name."""
    kinds = ["installed", "user", "account", "group", "path", "own", "database", "listens", "site"]
    found: dict[str, list[str]] = {kind: [] for kind in kinds}
    for kind, _, rest in (line.partition(":") for line in text.splitlines()):
        if kind in found:
            found[kind].append(rest.partition(":")[0] if kind == "installed" else rest)
    return found


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "lock_owner": lock_owner,
            "lock_is_stale": lock_is_stale,
            "packages_since": packages_since,
            "seen": seen,
        }
