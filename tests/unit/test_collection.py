"""This repository as the collection trackbox.workbench: content of its archive, and output of ansible-doc."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from checkout import ROOT, build_collection, copy_checkout, install_collection, run


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the archive from a copy of this checkout that also contains files that must not be in the archive."""
    folder = tmp_path_factory.mktemp("checkout")
    copy_checkout(folder)
    for name in [
        "inventory/mine/.secrets/admin_password",
        ".trackbox/id",
        "training/.venv/bin/python",
        ".venv/done",
        "roles/minio/tasks/__pycache__/x.pyc",
    ]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("hunter2")
    return build_collection(folder, tmp_path_factory.mktemp("archive"))


def test_the_archive_has_roles_playbooks_and_plugins_but_no_hidden_file_and_no_test(archive: Path) -> None:
    with tarfile.open(archive) as file:
        names = [one.name for one in file.getmembers() if not one.isdir()]
    wanted = {"playbooks/site.yml", "roles/minio/tasks/main.yml", "plugins/modules/files.py", "meta/runtime.yml"}
    assert wanted - set(names) == set()
    assert [name for name in names if "/." in f"/{name}" or name.endswith(".pyc")] == []
    assert [name for name in names if name.startswith(("tests/", "molecule/", "bench/"))] == []


def test_ansible_doc_shows_each_plugin_of_an_installed_archive(archive: Path, tmp_path: Path) -> None:
    install_collection(archive, tmp_path)
    for kind, folder in [("module", "modules"), ("lookup", "lookup"), ("callback", "callback")]:
        names = [f"trackbox.workbench.{path.stem}" for path in (ROOT / "plugins" / folder).glob("*.py")]
        told = json.loads(run(["ansible-doc", "--json", "-t", kind, *names], tmp_path))
        assert sorted(told) == sorted(names)
        assert all(told[name]["doc"]["short_description"] for name in names)
