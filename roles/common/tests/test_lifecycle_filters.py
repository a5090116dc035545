"""Who holds the lock, whether he still lives, and what came with an installation."""

import platform
import subprocess
import sys

import pytest
from lifecycle import lock_is_stale, lock_owner, packages_since, seen


def description(process: int, machine: str = "") -> str:
    return f"upgrade.yml of {machine or platform.node()} process {process}"


def test_the_owner_names_the_purpose_and_the_controller() -> None:
    words = lock_owner("upgrade.yml").split()
    assert words[:4] == ["upgrade.yml", "of", platform.node(), "process"]
    assert words[4].isdecimal()


def test_a_lock_of_this_very_run_is_its_own() -> None:
    assert lock_is_stale(lock_owner("upgrade.yml"))


def test_a_lock_of_a_run_that_goes_on_is_not_stale() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()", "ansible-playbook"], stdin=subprocess.PIPE) as other:
        assert not lock_is_stale(description(other.pid))
        other.kill()


def test_a_lock_of_a_run_that_ended_is_stale() -> None:
    with subprocess.Popen([sys.executable, "-c", "", "ansible-playbook"]) as other:
        other.wait()
    assert lock_is_stale(description(other.pid))


@pytest.mark.parametrize("said", ["", "trackbox-lock.service", "backup of trackbox", description(1, "elsewhere")])
def test_what_this_controller_cannot_know_is_not_stale(said: str) -> None:
    assert not lock_is_stale(said)


def test_what_came_and_what_changed_since_is_told_apart() -> None:
    before = ["installed:libc6:2.41-12", "config-files:exim4:4", "installed:zlib1g:1:1.3", "service:nginx"]
    now = ["installed:libc6:2.43-7", "installed:nginx:1.26.3", "installed:zlib1g:1:1.3"]
    assert packages_since(before, now) == {"came": ["nginx"], "changed": ["libc6 2.41-12 -> 2.43-7"]}


def test_what_was_looked_at_is_told_apart() -> None:
    lines = ["installed:nginx:1.26", "config-files:old:1", "user:minio:/var/lib/minio:/usr/sbin/nologin"]
    found = seen("\n".join([*lines, "group:trackbox", "path:/opt/trackbox/mlflow/current -> 3.17.2-40fac1c4"]))
    assert {kind: things for kind, things in found.items() if things} == {
        "installed": ["nginx"],
        "user": ["minio:/var/lib/minio:/usr/sbin/nologin"],
        "group": ["trackbox"],
        "path": ["/opt/trackbox/mlflow/current -> 3.17.2-40fac1c4"],
    }
    assert seen("")["installed"] == []
