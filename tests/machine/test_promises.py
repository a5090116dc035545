"""Every promise (a check of playbooks/verify.yml) passes on a new installation. Each promise is one test."""

import pytest
from machine import PROMISES, Machine
from testinfra.host import Host


@pytest.fixture(scope="module")
def found(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Return the result of each promise."""
    return machine.promises(tmp_path_factory.mktemp("verify"))


def test_every_promise_has_a_way_to_break_it(found: dict[str, dict[str, str]]) -> None:
    assert sorted(found) == PROMISES


@pytest.mark.parametrize("name", PROMISES)
def test_a_promise_is_held(host: Host, found: dict[str, dict[str, str]], name: str) -> None:
    # These promises are off, because a container uses its host's clock, no backup is scheduled, and MariaDB needs no
    # package source.
    off = {"clock_right", "backup_scheduled", "backup_young"}
    if not host.file("/etc/apt/sources.list.d/trackbox-mysql.sources").exists:
        off.add("mysql_source_pinned")
    # These promises may be off, because the kernel of the container's host may not enforce limits, and no version is
    # served before an alias points to a version.
    perhaps = name.endswith("_enforced") or name.startswith("serving_versions_") or name == "serving_follows_aliases"
    states = {"off"} if name in off else {"off", "held"} if perhaps else {"held"}
    assert found[name]["state"] in states, found[name]["detail"]
