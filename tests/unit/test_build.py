"""The build of MinIO, with fake uv and Go scripts, because a real build takes minutes."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = str(Path(__file__).parents[2] / "roles/minio/files/build/build.py")
BINARY = b"what Go compiled"
SHA256 = hashlib.sha256(BINARY).hexdigest()
CLOSED = "http://127.0.0.1:9"
# The SHA-256 of the concatenated files that Go compiles. Each byte of these files changes the binary, even a byte in a
# comment. After a change, build MinIO, and set minio_checksums and this value together.
SOURCES = ("go.mod", "go.sum", "main.go", "toolchain.txt")
PINNED = "107b5ec48061f93f4c26acfbc1247cbcea11752cb506b23ec2a84308bd9fd297"

# `uv pip install … --target FOLDER …` installs the Go toolchain. The fake uv copies the fake `go` into FOLDER instead.
UV = """#!/bin/sh
while [ "$1" != --target ]; do shift; done
mkdir -p "$2/go/bin" && cp "$(dirname "$0")/go" "$2/go/bin/go"
"""
GO = f"""#!/bin/sh
echo "$*" >>"$CALLS"
env | grep '^GO' >"$CALLS.env"
[ "$1" = build ] || exit 0
while [ -e "$CALLS.wait" ]; do sleep 0.02; done
while [ "$1" != -o ]; do shift; done
printf '{BINARY.decode()}' >"$2"
"""

Build = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Return the path of the cache folder, which does not exist yet."""
    return tmp_path / "cache"


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Return the file to which the fake `go` appends its arguments."""
    return tmp_path / "calls"


@pytest.fixture
def build(tmp_path: Path, cache: Path, calls: Path) -> Build:
    """Return a function that starts the build with the fake scripts."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name, text in (("uv", UV), ("go", GO)):
        (bin_folder / name).write_text(text)
        (bin_folder / name).chmod(0o755)
    python = bin_folder / "python3"
    python.symlink_to(Path(sys.executable).resolve())

    def start(*options: str, sha256: str = SHA256, **variables: str) -> subprocess.Popen[str]:
        command = [str(python), SCRIPT, "--arch=amd64", f"--sha256={sha256}", f"--cache={cache}", *options]
        environment = {**os.environ, "CALLS": str(calls), **variables}
        return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    return start


def builds(calls: Path) -> int:
    """Return how often the fake Go compiled."""
    return calls.read_text().count("build -ldflags") if calls.exists() else 0


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end of the build; return its exit status and the last line of its output."""
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, (out + err).strip().rpartition("\n")[2]


def test_the_binary_lands_in_the_cache_and_nothing_else_does(build: Build, cache: Path) -> None:
    assert end(build()) == (0, str(cache / SHA256 / "minio"))
    assert (cache / SHA256 / "minio").read_bytes() == BINARY
    assert sorted(path.name for path in cache.iterdir()) == sorted([SHA256, "lock"])


def test_what_is_in_the_cache_is_not_built_again(build: Build, calls: Path) -> None:
    end(build())
    assert end(build())[0] == 0
    assert builds(calls) == 1


def test_what_was_altered_in_the_cache_is_built_again(build: Build, cache: Path) -> None:
    end(build())
    (cache / SHA256 / "minio").write_bytes(b"something else")
    end(build())
    assert (cache / SHA256 / "minio").read_bytes() == BINARY


def test_two_at_once_build_once(build: Build, calls: Path, cache: Path) -> None:
    both = [build(), build()]
    assert [end(process) for process in both] == [(0, str(cache / SHA256 / "minio"))] * 2
    assert builds(calls) == 1


def test_a_wrong_checksum_is_refused_with_both_and_leaves_nothing(build: Build, cache: Path) -> None:
    wanted = "0" * 64
    status, said = end(build(sha256=wanted))
    assert status == 1
    assert said.startswith(f"The MinIO built here has the SHA-256 {SHA256}, and minio_checksums.amd64 pins {wanted}: ")
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_what_an_interrupted_build_left_is_removed_by_the_next(build: Build, cache: Path) -> None:
    (cache / "build-abc/path").mkdir(parents=True)
    end(build())
    assert list(cache.glob("build-*")) == []


def test_go_sees_its_proxy_and_nothing_else_that_the_user_set_for_go(build: Build, calls: Path) -> None:
    end(build(GOPROXY=CLOSED, GOFLAGS="-race", GONOSUMDB="*", GOARCH="mips"))
    seen = dict(line.split("=", 1) for line in Path(f"{calls}.env").read_text().splitlines())
    assert seen["GOPROXY"] == CLOSED
    assert (seen["GOARCH"], seen["GOTOOLCHAIN"]) == ("amd64", "local")
    assert "-race" not in seen["GOFLAGS"]
    assert "GONOSUMDB" not in seen


def test_the_binary_is_told_its_release_by_the_time_of_the_pinned_commit(build: Build, calls: Path) -> None:
    end(build())
    assert "cmd.Version=2026-02-12T20:18:48Z " in calls.read_text()
    assert "cmd.CommitID=7aac2a2c5b7c" in calls.read_text()


def test_detached_it_compiles_in_the_background_and_the_next_one_waits(build: Build, calls: Path, cache: Path) -> None:
    Path(f"{calls}.wait").touch()
    assert end(build("--detach"))[0] == 0
    assert end(build("--detach"))[0] == 0
    assert not (cache / SHA256).exists()
    waiting = build()
    time.sleep(0.3)
    assert waiting.poll() is None
    Path(f"{calls}.wait").unlink()
    assert end(waiting) == (0, str(cache / SHA256 / "minio"))
    assert builds(calls) == 1
    assert sorted(path.name for path in cache.iterdir()) == sorted([SHA256, "build.log", "lock"])


def test_who_waits_is_told_how_far_the_build_is(build: Build, calls: Path, cache: Path) -> None:
    Path(f"{calls}.wait").touch()
    assert end(build("--detach"))[0] == 0
    while not builds(calls):
        time.sleep(0.02)
    (cache / "build.log").write_text("go: downloading a v1\ngo: downloading b v2\n")
    assert end(build("--wait=0")) == (75, "2 modules of MinIO are downloaded")
    (cache / "build.log").write_text("go: downloading a v1\npackages: 530\nerrors\ninternal/abi\n")
    assert end(build("--wait=0")) == (75, "2 of 530 packages of MinIO are compiled")
    Path(f"{calls}.wait").unlink()
    assert end(build("--wait=30")) == (0, str(cache / SHA256 / "minio"))
    assert builds(calls) == 1


def test_who_waits_for_a_build_that_fails_is_told_why(build: Build, cache: Path) -> None:
    wanted = "0" * 64
    assert end(build("--detach", sha256=wanted))[0] == 0
    status, said = end(build("--wait=30", sha256=wanted))
    assert status == 1
    assert said.startswith(f"The MinIO built here has the SHA-256 {SHA256}, and minio_checksums.amd64 pins {wanted}: ")


def test_who_waits_for_a_build_that_was_killed_is_told_so(build: Build, cache: Path) -> None:
    cache.mkdir()
    assert end(build("--wait=0"))[1].startswith(f"The build of MinIO broke off, {cache}/build.log does not say why")


def test_too_little_disk_is_refused_before_anything_is_fetched(cache: Path) -> None:
    cache.mkdir()
    mount = 'mount -t tmpfs -o size=16m none "$0" && exec "$@"'
    small = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(cache)]
    if subprocess.run([*small, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespace for a small disk here")
    command = [sys.executable, SCRIPT, "--arch=amd64", f"--sha256={SHA256}", f"--cache={cache}"]
    done = subprocess.run([*small, *command], check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert done.stderr == f"minio_cache is {cache}, with less than the 4 GiB that a build needs: move it.\n"


@pytest.mark.parametrize("options", [["--detach"], []])
@pytest.mark.parametrize(
    ("variables", "tool"),
    [
        ({"UV_DEFAULT_INDEX": f"{CLOSED}/simple", "UV_NO_CACHE": "1", "UV_HTTP_RETRIES": "0"}, "uv"),
        ({"GOPROXY": CLOSED}, "go"),
    ],
)
def test_without_a_network_it_says_so_at_once(
    cache: Path, options: list[str], variables: dict[str, str], tool: str
) -> None:
    """Run the build with the real uv, and the real Go that uv installs."""
    if not shutil.which("uv", path=str(Path(sys.executable).parent)):
        pytest.skip("no uv beside this Python")
    command = [sys.executable, SCRIPT, "--arch=amd64", f"--sha256={SHA256}", f"--cache={cache}", *options]
    started = time.monotonic()
    done = subprocess.run(
        command, check=False, env={**os.environ, **variables}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == (
        f"MinIO could not be built: {tool} failed, its reason is above. Give the controller a way to PyPI and to a Go "
        "module proxy (GOPROXY), or set minio_source to archive or file."
    )
    assert [path.name for path in cache.iterdir()] == ["lock"]
    assert time.monotonic() - started < 60


def test_the_sources_are_those_of_the_pinned_binary() -> None:
    folder = Path(SCRIPT).parent
    assert hashlib.sha256(b"".join((folder / name).read_bytes() for name in SOURCES)).hexdigest() == PINNED
