"""Ansible refuses bad settings of the local VM, a bad data file, and a build of MinIO without network access."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible_run import FACTS, ROOT, Outcome, inventory_of, play

CLOSED = "http://127.0.0.1:9"  # Nothing listens on this loopback port.
HEADER = ",".join(["Time", *(f"V{i}" for i in range(1, 29)), "Amount"])


@pytest.fixture
def localhost(tmp_path: Path) -> Path:
    """Return an inventory that contains only this machine."""
    return inventory_of(tmp_path, {"localhost": {}})


def local_vm(inventory: Path, *prefix: str, **variables: Any) -> Outcome:
    """Run local-vm.yml to remove a VM that does not exist. This is safe, and runs the same checks as a creation."""
    home = str(inventory.parent / "machines")
    safe = {"local_vm_state": "absent", "local_vm_home": home, "local_vm_secrets": f"{home}/secrets"}
    options = ["-e", json.dumps(safe | variables)]
    return play(ROOT / "playbooks/local-vm.yml", inventory, *options, prefix=prefix)


def test_an_impossible_local_vm_gets_a_sentence_for_each_reason(localhost: Path) -> None:
    wrong = {"local_vm_name": "../etc", "local_vm_address": "192.168.0.2", "local_vm_debian": 11, "local_vm_adress": ""}
    wrong["local_vm_memory"] = "2 GB"
    assert local_vm(localhost, **wrong).refused("localhost") == (
        "local_vm_adress is not a variable of Trackbox: did you mean local_vm_address? "
        "local_vm_debian is '11', and must be one of 12, 13: the comment above it in roles/local_vm/defaults/main.yml "
        "says what fits. "
        "local_vm_name is ../etc: take small letters, digits and hyphens, 63 at the most. "
        "local_vm_address is 192.168.0.2: take the upper address of a /30 network in 10.83.0.0/16, such as 10.83.0.2. "
        "local_vm_memory is 2 GB: give it a number with M or G, such as 2G, or nothing for no bound."
    )


@pytest.mark.parametrize("address", ["10.83.0.1", "10.83.256.2"])
def test_only_the_upper_address_of_a_30_network_is_accepted(localhost: Path, address: str) -> None:
    said = local_vm(localhost, local_vm_address=address).refused("localhost")
    assert said.startswith(f"local_vm_address is {address}: take the upper address of a /30 network in 10.83.0.0/16, ")


def test_good_settings_of_a_local_vm_pass(localhost: Path) -> None:
    outcome = local_vm(localhost)
    assert (outcome.status, outcome.counts["localhost"]["changed"]) == (0, 0), outcome.text


def test_a_local_vm_without_root_gets_a_sentence(localhost: Path) -> None:
    """Runs the playbook as `nobody` in a user namespace. This user can still read the files of root."""
    if subprocess.run(["unshare", "--user", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    assert local_vm(localhost, "unshare", "--user").refused("localhost") == (
        "The local VM needs root on Linux, and this is nobody on Linux: type `sudo make up`, or install on a VM of "
        "your own (docs/your-own-vm.md)."
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "which cannot be read (["),
        ("", "which is empty: name Kaggle's creditcard.csv, or leave FRAUD_DATA away."),
        (HEADER + "\n1\n", "which lacks the columns Class: name a file with Time, V1, V2, "),
    ],
    ids=["missing", "empty", "lacks a column"],
)
def test_a_bad_data_file_is_refused_before_a_machine_is_created(
    localhost: Path, content: str | None, said: str
) -> None:
    data = localhost.parent / "data.csv"
    if content is not None:
        data.write_text(content)
    # The VM's name is invalid, so that no VM is created even if the data file is wrongly accepted.
    outcome = play(
        ROOT / "playbooks/up.yml", localhost, "-e", "local_vm_name=../etc", environment={"FRAUD_DATA": str(data)}
    )
    assert outcome.refused("localhost").startswith(f"FRAUD_DATA is {data}, {said}")


def minio(inventory: Path, part: str, variables: dict[str, Any], environment: dict[str, str] | None = None) -> Outcome:
    """Run one task file of the role minio, with this machine as the target."""
    include = {"name": "minio", "tasks_from": part}
    facts = {"name": "Say what is given", "ansible.builtin.set_fact": {"cacheable": True, **FACTS}}
    tasks = [facts, {"name": "Run it", "ansible.builtin.include_role": include}]
    playbook = inventory.parent / "minio.json"
    playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    folder = {"__minio_folder": str(inventory.parent / "minio")}
    return play(playbook, inventory, "-e", json.dumps(folder | variables), environment=environment)


@pytest.mark.parametrize(
    "environment",
    [{"GOPROXY": CLOSED}, {"UV_DEFAULT_INDEX": CLOSED, "UV_NO_CACHE": "1", "UV_HTTP_RETRIES": "0"}],
    ids=["go", "uv"],
)
def test_a_build_without_network_is_refused_before_anything_is_changed(
    localhost: Path, environment: dict[str, str]
) -> None:
    cache = localhost.parent / "cache"
    outcome = minio(localhost, "build", {"minio_cache": str(cache)}, environment)
    outcome.refused("localhost")
    assert (
        "failed, its reason is above. Give the controller a way to PyPI and to a Go module proxy (GOPROXY), or set "
        "minio_source to archive or file."
    ) in outcome.text
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_an_archive_with_another_checksum_is_refused_and_not_installed(localhost: Path) -> None:
    folder = localhost.parent
    (folder / "minio").mkdir(mode=0o755)
    archive = folder / "minio.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(__file__, "minio")
    found, wanted = hashlib.sha256(archive.read_bytes()).hexdigest(), "0" * 64
    variables = {"minio_source": "archive", "minio_archive": {"url": archive.as_uri(), "sha256": wanted}}
    outcome = minio(localhost, "binary", variables)
    assert outcome.status != 0
    said = outcome.messages["localhost"][-1]
    assert said.startswith(f"minio_archive.url is {archive.as_uri()}, and was not taken: The checksum for ")
    assert found in said
    assert wanted in said
    assert said.endswith("Correct minio_archive.url or minio_archive.sha256, or choose another minio_source.")
    assert list((folder / "minio").iterdir()) == []
