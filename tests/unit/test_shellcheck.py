"""Every shell script of the repository passes shellcheck."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = [".ci", "bench", "molecule", "playbooks", "roles"]


def scripts() -> list[Path]:
    """Return the files whose first line is a shebang for sh or bash, except templates."""
    found = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix != ".j2":
                with path.open("rb") as file:
                    first = file.readline(80)
                if first.startswith(b"#!") and first.rstrip().endswith((b"/sh", b"bash")):
                    found.append(path)
    return found


def test_the_scripts_are_found() -> None:
    names = {path.name for path in scripts()}
    assert {"local-vm", "unpack", "certificate"} <= names


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed: Debian has it")
@pytest.mark.parametrize("script", scripts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_shellcheck_finds_nothing(script: Path) -> None:
    done = subprocess.run(["shellcheck", script], check=False, capture_output=True, text=True)
    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.parametrize("script", scripts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_script_is_executable_and_begins_with_a_comment(script: Path) -> None:
    assert script.stat().st_mode & 0o111
    assert script.read_text().splitlines()[1].startswith("# ")
