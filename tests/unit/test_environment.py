"""The script `environment`, with a fake uv."""

import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "roles/machine/files/environment"

# A fake uv. It logs its calls, and takes half a second to create an environment, which contains only the lock file. It
# fails while the file `broken` exists.
UV = """#!/bin/sh
home=$(dirname "$0")
echo "$1" >>"$home/called"
[ ! -e "$home/broken" ] || { echo "no network" >&2; exit 1; }
for last; do :; done
[ "$last" != - ] || last=/dev/stdin
if [ "$1" = venv ]; then mkdir -p "$last"; else sleep 0.5; cat "$last" >"$home/environment/lock"; fi
"""


@pytest.fixture
def uv(tmp_path: Path) -> Path:
    (tmp_path / "uv").write_text(UV)
    (tmp_path / "uv").chmod(0o755)
    return tmp_path / "uv"


# A lock file that is larger than the buffer of a pipe (64 KB).
LOCK = "a==1\n" * 50_000


def run(uv: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the script, with the test's folder instead of /opt/trackbox."""
    text = SCRIPT.read_text().replace("/opt/trackbox", str(uv.parent))
    command = ["sh", "-c", text, "environment", str(uv.parent / "environment"), "done", str(uv), *options]
    return subprocess.run(command, input=LOCK, capture_output=True, text=True, timeout=30, check=False)


def test_who_needs_what_was_begun_waits_for_it_and_does_not_do_it_again(uv: Path) -> None:
    began = time.monotonic()
    assert run(uv, "begin").returncode == 0
    assert time.monotonic() - began < 0.4
    while not (uv.parent / "called").exists():
        time.sleep(0.01)
    assert run(uv).returncode == 0
    assert (uv.parent / "environment/lock").read_text() == LOCK
    assert (uv.parent / "environment/done").exists()
    assert (uv.parent / "called").read_text().split() == ["venv", "pip"]


def test_what_failed_behind_is_tried_again_and_says_why(uv: Path) -> None:
    (uv.parent / "broken").touch()
    assert run(uv, "begin").returncode == 0
    failed = run(uv)
    assert failed.returncode != 0
    assert "no network" in failed.stderr
    (uv.parent / "broken").unlink()
    assert run(uv).returncode == 0
    assert (uv.parent / "environment/done").exists()
