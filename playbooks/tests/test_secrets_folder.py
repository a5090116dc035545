"""Ansible never reads generated secrets as host names, because playbooks move the folder `secrets` to `.secrets`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_run import ROOT, Outcome, inventory_of, play

PASSWORD = "aPasswordThatWouldBeAHostName"
PLAYBOOKS = [
    "alert-test",
    "backup",
    "garbage",
    "restore",
    "rotate-secrets",
    "sbom",
    "site",
    "train",
    "uninstall",
    "upgrade",
    "verify",
]


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Return the folder of an inventory whose secrets are still in the folder `secrets` of earlier releases."""
    inventory_of(tmp_path, {"vm": {}})
    (tmp_path / "secrets").mkdir(0o700)
    (tmp_path / "secrets/admin_password").write_text(PASSWORD)
    (tmp_path / "secrets/env").write_text(f"export AWS_CA_BUNDLE={tmp_path}/secrets/ca.crt\n")
    return tmp_path


def move(inventory: Path, *options: str) -> Outcome:
    return play(ROOT / "playbooks/begin.yml", inventory, *options)


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()} if folder.exists() else {}


def run(program: str, *options: str | Path, config: Path) -> str:
    """Run one of Ansible's commands in the directory `/`; return its output."""
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *options],
        cwd="/",
        env={name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        | {"ANSIBLE_CONFIG": str(config)},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty ansible.cfg."""
    path = tmp_path_factory.mktemp("config") / "ansible.cfg"
    path.write_text("[defaults]\n")
    return path


@pytest.mark.parametrize("source", ["", "hosts.json"])
def test_the_secrets_of_an_earlier_release_are_moved_once(inventory: Path, source: str) -> None:
    assert move(inventory / source).counts["vm"]["changed"] == 1
    assert not (inventory / "secrets").exists()
    env = f"export AWS_CA_BUNDLE={inventory}/.secrets/ca.crt\n"
    assert files(inventory / ".secrets") == {"admin_password": PASSWORD, "env": env}
    again = move(inventory / source)
    assert again.status == 0, again.text
    assert again.counts["vm"]["changed"] == 0


def test_no_secret_is_a_host_name_from_any_directory_with_any_settings(inventory: Path, config: Path) -> None:
    def hosts() -> list[str]:
        listed = run("ansible-inventory", "-i", inventory, "--list", config=config)
        return sorted(json.loads(listed[listed.index("{") : listed.rindex("}") + 1])["_meta"]["hostvars"])

    assert PASSWORD in hosts()
    move(inventory)
    assert hosts() == ["vm"]


def test_check_mode_moves_nothing(inventory: Path) -> None:
    before = files(inventory / "secrets")
    assert move(inventory, "--check").status == 0
    assert files(inventory / "secrets") == before
    assert not (inventory / ".secrets").exists()


@pytest.mark.parametrize("named", ["secrets", "elsewhere"])
def test_a_folder_that_the_inventory_names_is_not_moved(inventory: Path, named: str) -> None:
    before = files(inventory / "secrets")
    outcome = move(inventory, "-e", json.dumps({"trackbox_secrets": f"{inventory}/{named}"}))
    assert outcome.status == 0, outcome.text
    assert files(inventory / "secrets") == before
    assert not (inventory / ".secrets").exists()


def test_two_folders_of_secrets_are_refused(inventory: Path) -> None:
    (inventory / ".secrets").mkdir()
    (inventory / ".secrets/admin_password").write_text("another")
    assert move(inventory).refused("vm") == (
        f"{inventory}/secrets and {inventory}/.secrets both hold secrets: keep in {inventory}/.secrets those that vm "
        f"was installed with, and remove {inventory}/secrets."
    )


def test_the_password_is_the_same_before_and_after_the_move(inventory: Path) -> None:
    """Check mode moves nothing, and reads the old password. A play that does not import begin.yml does the same."""
    load = {"name": "lifecycle", "tasks_from": "unlock", "public": True}
    ask = [
        {
            "hosts": "vm",
            "gather_facts": False,
            "tasks": [
                {
                    "name": "Load",
                    "ansible.builtin.include_role": load,
                },
                {"name": "Ask", "ansible.builtin.fail": {"msg": "{{ trackbox_admin_password }}"}},
            ],
        }
    ]
    playbook = inventory.parent / "ask.json"
    (inventory.parent / "roles").symlink_to(ROOT / "roles")
    playbook.write_text(json.dumps(ask))
    for _ in range(2):
        assert play(playbook, inventory, "--check").messages["vm"] == [PASSWORD]
    move(inventory)
    assert play(playbook, inventory, "--check").messages["vm"] == [PASSWORD]
    assert not (inventory / "secrets").exists()
    assert set(files(inventory / ".secrets")) == {"admin_password", "env"}


def test_every_playbook_that_reads_secrets_begins_with_the_move() -> None:
    others = {"local-vm", "begin", "up"}
    assert {path.stem for path in (ROOT / "playbooks").glob("*.yml")} == {*PLAYBOOKS, "preflight", *others}
    for name in ["preflight", *PLAYBOOKS]:
        [first, *_] = yaml.safe_load((ROOT / f"playbooks/{name}.yml").read_text())
        # site.yml imports preflight.yml first, and preflight.yml imports begin.yml.
        wanted = "preflight.yml" if name == "site" else "begin.yml"
        assert first["ansible.builtin.import_playbook"] == wanted, name


@pytest.mark.parametrize("name", ["site.yml", *(f"playbooks/{name}.yml" for name in [*PLAYBOOKS, "local-vm", "up"])])
def test_a_playbook_finds_its_roles_from_any_directory(tmp_path: Path, config: Path, name: str) -> None:
    run("ansible-playbook", "--syntax-check", "-i", inventory_of(tmp_path, {"vm": {}}), ROOT / name, config=config)


@pytest.mark.parametrize("name", ["preflight", "rotate-secrets", "verify"])
@pytest.mark.parametrize("options", [[], ["--tags", "users"]])
def test_a_file_of_variables_that_ansible_ignores_is_refused(tmp_path: Path, name: str, options: list[str]) -> None:
    folder = tmp_path / "inventory/group_vars"
    (folder / "nginx").mkdir(parents=True)
    (folder / "nginx/vault.yml").write_text("vault_ada_password: geheim\n")
    (folder / "nginx.yml").write_text("nginx_http_port: 8080\n")
    outcome = play(ROOT / f"playbooks/{name}.yml", inventory_of(folder.parent, {"vm": {}}), *options)
    assert outcome.refused("vm") == (
        f"{folder}/nginx.yml is not read, because Ansible reads {folder}/nginx alone: "
        f"move it to {folder}/nginx/main.yml."
    )
    assert outcome.counts["vm"]["ok"] == 0


@pytest.mark.parametrize("name", ["site", "verify"])
def test_a_playbook_runs_its_first_checks_from_any_directory(inventory: Path, config: Path, name: str) -> None:
    """The check is a task of a role, and compares the folders with a filter."""
    (inventory / ".secrets").mkdir()
    (inventory / ".secrets/admin_password").write_text("another")
    outcome = play(
        ROOT / f"playbooks/{name}.yml",
        inventory,
        prefix=["env", "--chdir=/"],
        environment={"ANSIBLE_CONFIG": str(config)},
    )
    assert "both hold secrets" in outcome.refused("vm")


def test_the_example_has_the_layout_that_the_docs_use(tmp_path: Path) -> None:
    """Ansible merges the variables of main.yml and vault.yml in the folder group_vars/all, as the docs say."""
    subprocess.run(["cp", "-r", ROOT / "inventory/example", tmp_path / "mine"], check=True)
    (tmp_path / "mine/group_vars/all/vault.yml").write_text("vault_ada_password: geheim\n")
    said = run("ansible-inventory", "-i", tmp_path / "mine", "--host", "trackbox", config=ROOT / "ansible.cfg")
    assert {"training_users", "vault_ada_password"} <= set(json.loads(said[said.index("{") :]))
    for page in ("docs/users.md", "docs/your-own-vm.md", "README.md"):
        assert "group_vars/all/main.yml" in (ROOT / page).read_text(), page
