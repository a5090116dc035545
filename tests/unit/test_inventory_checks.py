"""Checks of an inventory: the folder of its secrets, files that Ansible ignores, and host names."""

from pathlib import Path

import pytest
from ignored_files import hidden_files
from inventory_checks import host_problems, secrets_folder
from move_secrets import move


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_secrets_lie_where_ansible_parses_nothing(tmp_path: Path) -> None:
    assert secrets_folder(str(tmp_path)) == f"{tmp_path}/.secrets"


def test_secrets_of_an_earlier_release_count_until_they_are_moved(tmp_path: Path) -> None:
    write(tmp_path / "secrets/admin_password")
    assert secrets_folder(str(tmp_path)) == f"{tmp_path}/secrets"
    (tmp_path / ".secrets").mkdir()
    assert secrets_folder(str(tmp_path)) == f"{tmp_path}/secrets"
    write(tmp_path / ".secrets/admin_password")
    assert secrets_folder(str(tmp_path)) == f"{tmp_path}/.secrets"


def test_a_link_to_a_folder_that_is_not_mounted_counts(tmp_path: Path) -> None:
    (tmp_path / "secrets").symlink_to("/nonexistent/secrets")
    assert secrets_folder(str(tmp_path)) == f"{tmp_path}/secrets"


def test_an_empty_folder_of_an_earlier_release_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    assert secrets_folder(str(tmp_path)) == f"{tmp_path}/.secrets"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder of secrets in the layout of an earlier release."""
    write(tmp_path / "secrets/admin_password", "geheim").chmod(0o600)
    write(tmp_path / "secrets/env", f"export MLFLOW_TRACKING_SERVER_CERT_PATH={tmp_path}/secrets/ca.crt\n")
    write(tmp_path / "secrets/ca.crt")
    return tmp_path / "secrets"


def moved(old: Path) -> bool:
    """Return whether all secrets are in the new folder, and the paths in `env` are those of the new folder."""
    new = old.with_name(".secrets")
    env = f"export MLFLOW_TRACKING_SERVER_CERT_PATH={new}/ca.crt\n"
    files = {path.name: path.read_text() for path in new.iterdir()} if new.is_dir() else {}
    return files == {"admin_password": "geheim", "ca.crt": "x", "env": env} and not old.exists()


@pytest.mark.parametrize("empty", [False, True])
def test_the_folder_moves_with_the_paths_in_env(old: Path, empty: bool) -> None:
    if empty:
        old.with_name(".secrets").mkdir()
    move(old, old.with_name(".secrets"))
    assert moved(old)
    assert old.with_name(".secrets").joinpath("env").stat().st_mode & 0o777 == 0o600


def test_a_move_that_was_interrupted_is_repeated(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            move(old, old.with_name(".secrets"))
    assert secrets_folder(str(old.parent)) == str(old)
    move(old, old.with_name(".secrets"))
    assert moved(old)


def test_a_move_that_another_process_has_made_is_no_error(old: Path) -> None:
    move(old, old.with_name(".secrets"))
    move(old, old.with_name(".secrets"))
    assert moved(old)


def test_a_move_onto_other_secrets_fails_and_changes_neither(old: Path) -> None:
    other = write(old.with_name(".secrets") / "admin_password", "another")
    with pytest.raises(OSError, match="not empty"):
        move(old, other.parent)
    assert other.read_text() == "another"
    assert (old / "admin_password").read_text() == "geheim"


@pytest.mark.parametrize(
    ("files", "hidden"),
    [
        (["group_vars/all.yml"], []),
        (["group_vars/all/main.yml", "group_vars/all/vault.yml", "host_vars/vm.yml"], []),
        (["group_vars/all.yml", "group_vars/all/vault.yml"], ["group_vars/all.yml"]),
        (["group_vars/nginx.yaml", "group_vars/nginx.yml"], ["group_vars/nginx.yaml"]),
        (["host_vars/vm.json", "host_vars/vm/a.yml"], ["host_vars/vm.json"]),
        (["host_vars/a.b.example", "host_vars/a.b.example.yml"], ["host_vars/a.b.example.yml"]),
        # These files are not reported, because the inventory contains no group `old`.
        (["group_vars/old.yml", "group_vars/old/a.yml"], []),
    ],
)
@pytest.mark.parametrize("source", ["", "hosts.yml"])
def test_a_file_of_variables_that_ansible_passes_over_is_named(
    tmp_path: Path, files: list[str], hidden: list[str], source: str
) -> None:
    for name in ["hosts.yml", *files]:
        write(tmp_path / name)
    found = hidden_files([str(tmp_path / source), "vm,"], {"all", "nginx", "vm", "a.b.example"})
    assert [line.partition(" is not read")[0] for line in found] == [str(tmp_path / name) for name in hidden]


def test_the_remedy_says_where_to_move_it(tmp_path: Path) -> None:
    write(tmp_path / "group_vars/all.yml")
    write(tmp_path / "group_vars/all/vault.yml")
    folder = tmp_path / "group_vars"
    assert hidden_files([str(tmp_path)], {"all"}) == [
        f"{folder}/all.yml is not read, because Ansible reads {folder}/all alone: move it to {folder}/all/main.yml."
    ]


@pytest.mark.parametrize(
    "host",
    ["vm", "VM01.Corp.example", "192.0.2.10", "xn--mnchen-3ya.example", "a" * 63 + ".example", "1e5"],
)
def test_a_host_name_or_an_address_passes(host: str) -> None:
    assert host_problems(host) == []


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("https://vm", "give a name or an address alone, without scheme, port and path."),
        ("vm:8443", "give a name or an address alone, without scheme, port and path."),
        ("my vm", "give a name or an address alone, without scheme, port and path."),
        ("zürich.example", "it is no host name that clients take: write 'xn--zrich-kva.example'."),
        ("bücher.example.", "it is no host name that clients take: write 'xn--bcher-kva.example'."),
        ("vm.example.", "it is no host name that clients take: write 'vm.example'."),
        ("my_vm.example", "it is no host name: take letters, digits, hyphens and dots, 1 to 63 characters between"),
        ("a..b", "it is no host name"),
        (".b", "it is no host name"),
        ("-a.example", "it is no host name"),
        ("a-.example", "it is no host name"),
        ("a" * 64 + ".example", "it is no host name"),
        (".".join(["a" * 49] * 6), "it is no host name"),
        ("", "it is no host name"),
        # Python's IDNA 2003 would encode this as strasse.example, which is another name.
        ("straße.example", "it is no host name"),
        ("10.1", "it is no address: write four numbers from 0 to 255"),
        (12, "it is no address"),
        (10.1, "it is no address"),
        ("192.0.2.256", "it is no address"),
        ("192.0.02.1", "it is no address"),
    ],
)
def test_what_is_no_host_name_gets_a_sentence(host: object, said: str) -> None:
    [problem] = host_problems(host)
    assert problem.startswith(f"trackbox_host is {host}: {said}")
