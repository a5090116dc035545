"""`make test` installs missing programs, or names them and stops, so that no test is skipped."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_run import ROOT

NEEDED = ["chromium", "curl", "git", "openssl", "ps", "scp", "shellcheck", "testssl"]
PACKAGES = "chromium curl git openssl procps openssh-client shellcheck testssl.sh"


def tools(folder: Path, programs: list[str], *prefix: str) -> subprocess.CompletedProcess[str]:
    """Run .ci/tools with only these programs in PATH. prefix: words before the command, such as `unshare --user`."""
    for name in programs:
        (folder / name).symlink_to(shutil.which(name) or "/bin/true")
    command = [*prefix, "/bin/sh", str(ROOT / ".ci/tools")]
    return subprocess.run(command, env={"PATH": str(folder)}, capture_output=True, text=True, timeout=30, check=False)


def make(*arguments: str) -> list[str]:
    """Run make with these arguments; return the lines of its output."""
    # The option keeps make from printing its folder first when this test runs within `make test`.
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()


def test_make_test_begins_with_the_tools() -> None:
    for target in ("test", "test-all"):
        assert make("--dry-run", target)[0] == ".ci/tools"


@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("verify", "ansible-playbook -i inventory/mine playbooks/verify.yml"),
        ("sbom", "ansible-playbook -i inventory/mine playbooks/sbom.yml"),
        ("ssh", "python playbooks/ssh.py inventory/mine"),
    ],
)
def test_a_target_of_make_uses_the_inventory_that_is_named(target: str, command: str) -> None:
    assert make("--dry-run", target, "INVENTORY=inventory/mine")[-1] == command
    assert make("--dry-run", target)[-1] == command.replace("mine", "local")


@pytest.mark.parametrize("secrets", [".secrets", "secrets"])
@pytest.mark.parametrize("file", ["", "/hosts.yml"])
def test_make_env_prints_the_settings_of_the_inventory_that_is_named(tmp_path: Path, secrets: str, file: str) -> None:
    (tmp_path / secrets).mkdir()
    (tmp_path / secrets / "env").write_text("export MLFLOW_TRACKING_URI=https://box\n")
    (tmp_path / "hosts.yml").touch()
    assert make("env", f"INVENTORY={tmp_path}{file}") == ["export MLFLOW_TRACKING_URI=https://box"]


def test_with_all_programs_it_prints_nothing(tmp_path: Path) -> None:
    done = tools(tmp_path, NEEDED)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_on_another_distribution_it_names_the_missing_programs(tmp_path: Path) -> None:
    done = tools(tmp_path, ["git", "openssl", "ps", "scp", "chromium", "curl"])
    assert (done.returncode, done.stderr) == (
        1,
        "The tests need programs that are missing here, in Debian's packages shellcheck testssl.sh: install them with "
        "your package manager.\n",
    )


def test_an_ordinary_user_gets_the_command_to_type(tmp_path: Path) -> None:
    """Runs .ci/tools in a user namespace, as a user who is not root but may still read root's files."""
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "--user", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    done = tools(tmp_path, ["id", "apt-get"], unshare, "--user")
    said = f"The tests need programs that are missing here: sudo apt-get install {PACKAGES}\n"
    assert (done.returncode, done.stderr) == (1, said)
