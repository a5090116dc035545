"""The collection's archive, installed into an empty folder, installs one role alone and then all of Trackbox."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT, build_collection, copy_checkout, install_collection, run
from machine import Machine, changes, inside

PLAYBOOK = """\
---
- name: Install MinIO
  hosts: minio
  become: true
  roles:
    - role: trackbox.workbench.minio
      minio_buckets: [{name: models}]
"""
# ansible-test would download pip from the Internet. This replacement installs the pip that Python contains.
BOOTSTRAP = "import ensurepip\nensurepip.bootstrap()\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed collection and a playbook of ten lines."""
    checkout, folder = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("a project")
    copy_checkout(checkout)
    install_collection(build_collection(checkout, tmp_path_factory.mktemp("archive")), folder)
    (folder / "minio.yml").write_text(PLAYBOOK)
    return folder


def inventory() -> str:
    """Return an inventory with the machine of this scenario, on which only MinIO is installed."""
    home = ROOT / ".trackbox"
    variables = {
        "ansible_host": "10.83.16.2",
        "ansible_user": "root",
        "ansible_ssh_common_args": f"-F {home}/ssh_config",
        "trackbox_secrets": str(home / "molecule-collection/secrets"),
    }
    groups: dict[str, Any] = {"workbench": {"children": {"minio": {"hosts": {"instance": {}}}}}}
    return json.dumps({"all": {"hosts": {"instance": variables}, "children": groups}})


def play(project: Path, playbook: str) -> str:
    """Run a playbook in the project, on the machine of this scenario; return its output."""
    [_, *words], _ = Machine("molecule-collection", Path(), {}).ansible(playbook)
    return run(["ansible-playbook", *words], project)


def test_a_playbook_of_ten_lines_installs_minio_alone(project: Path) -> None:
    (project / "hosts.json").write_text(inventory())
    command = ["ansible-playbook", "--inventory=hosts.json", "minio.yml"]
    run(command, project)
    host = inside("molecule-collection")
    assert host.service("minio").is_running
    ready = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9000/minio/health/ready', timeout=5).status)"
    assert host.check_output("python3 -c %s", ready) == "200"
    assert host.file("/var/lib/minio/models").is_directory
    assert not host.exists("nginx")
    assert changes(run(command, project)) == []


def test_the_playbook_site_of_the_collection_installs_everything(project: Path) -> None:
    assert "failed=0" in play(project, "trackbox.workbench.site")
    assert changes(play(project, "trackbox.workbench.site")) == []


def test_the_playbook_verify_of_the_collection_finds_no_broken_promise(project: Path) -> None:
    assert " 0 broken" in play(project, "trackbox.workbench.verify")


def test_ansible_test_finds_nothing_in_the_plugins(tmp_path: Path) -> None:
    folder = tmp_path / "ansible_collections/trackbox/workbench"
    for name in ["plugins", "meta", "tests/sanity"]:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "galaxy.yml", folder)
    cache = folder / ".ansible/test/cache"
    cache.mkdir(parents=True)
    (cache / "get_pip_24_2.py").write_text(BOOTSTRAP)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    run(["ansible-test", "sanity", "--color", "no", "--python", version], folder)
