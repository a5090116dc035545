"""The rules of docs/architecture.md: roles are independent of each other, and the list of services is in one file."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LIST = "roles/wiring/vars/main/services.yml"
SERVICES: dict[str, str] = yaml.safe_load((ROOT / LIST).read_text())["wiring_services"]
# Prefixes of the variables that every role may set: those that roles share, and parameters of the helper roles.
SHARED = ("wiring_", "trackbox_", "machine_", "lifecycle_")


def files(*patterns: str) -> dict[str, str]:
    """Return the text of the repository's files that match the patterns, by path."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    paths = [ROOT / path for path in listed.splitlines()]
    return {str(p.relative_to(ROOT)): p.read_text() for p in paths if p.is_file() and not p.is_symlink()}


CODE = files("roles/*.yml", "roles/*.j2", "playbooks/*.yml")


def test_each_service_of_the_list_has_a_role_that_declares_it() -> None:
    for service in SERVICES:
        declared = yaml.safe_load((ROOT / f"roles/{service}/meta/wiring.yml").read_text())
        assert list(declared) == [service]
        assert declared[service]["title"]


def test_a_role_reaches_into_no_other_roles_folder() -> None:
    assert [path for path, text in CODE.items() if "../../" in text] == []
    folders = re.compile(rf"roles/({'|'.join(SERVICES)})/(tasks|files|templates|vars)/\S+\.(yml|j2|py)")
    reached = {
        f"{path}: {found[0]}"
        for path, text in CODE.items()
        for line in text.splitlines()
        if not line.lstrip().startswith(("#", "{#")) and (found := folders.search(line))
        if not path.startswith(f"roles/{found[1]}/")
    }
    assert reached == set()


def test_a_private_variable_is_read_in_its_own_role_alone() -> None:
    roles = sorted((path.name for path in (ROOT / "roles").iterdir()), key=len, reverse=True)
    private = re.compile(rf"\b__({'|'.join(roles)})_\w+")
    foreign = {
        f"{path}: {found[0]}"
        for path, text in CODE.items()
        for found in private.finditer(text)
        if not path.startswith(f"roles/{found[1]}/")
    }
    assert foreign == set()


@pytest.mark.parametrize("role", sorted(SERVICES))
def test_a_role_sets_its_own_variables_and_the_shared_ones(role: str) -> None:
    names: set[str] = set()
    for path, text in files(f"roles/{role}/tasks/*.yml", f"roles/{role}/defaults/*.yml").items():
        loaded = yaml.safe_load(text)
        if "/defaults/" in path:
            names |= set(loaded)
        else:
            names |= set(re.findall(r"^\s+register: (\w+)", text, re.MULTILINE))
            for task in loaded:
                names |= set(task.get("ansible.builtin.set_fact", {}))
    assert {name for name in names if not name.startswith((f"{role}_", f"__{role}_", *SHARED))} == set()


def test_the_list_of_services_stands_in_one_place() -> None:
    """No YAML list or host pattern may name two services. Otherwise each new service would have to be added there."""
    some = f"({'|'.join(SERVICES)})"
    lists = re.compile(rf"\b{some}'?\"?(,|:) ?'?\"?{some}\b")
    found = {
        f"{path}: {line.strip()}"
        for path, text in CODE.items()
        if path != LIST
        for line in text.splitlines()
        if not line.lstrip().startswith(("#", "{#")) and lists.search(line)
    }
    assert found == set()
