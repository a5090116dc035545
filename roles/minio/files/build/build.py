"""Build MinIO's server once, from pinned source, into the controller's cache.

Prints the path of the binary. Several callers may run at once: one builds, the others wait for it. With --detach the
build continues in the background, and --wait prints its progress.
Only the binary stays. Each build removes the files that an interrupted one left.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import IO

SOURCE = Path(__file__).resolve().parent
GOES_ON = 75  # the exit code of --wait while the build runs: EX_TEMPFAIL
DISK_GIB = 4  # modules 1.2 GB, build cache 1 GB, toolchain 0.3 GB, and room to spare


def sha256(path: Path) -> str:
    """Return the SHA-256 of the file at `path`, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def go_environment(work: Path, arch: str) -> dict[str, str]:
    """Return the build's environment variables. Of the controller's own variables of Go, only GOPROXY is kept."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GO") or k == "GOPROXY"}
    return kept | {
        "PATH": f"{work}/toolchain/go/bin:{os.environ['PATH']}",
        "GOROOT": f"{work}/toolchain/go",
        "GOPATH": f"{work}/path",
        "GOCACHE": f"{work}/cache",
        "GOENV": "off",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-trimpath -buildvcs=false -mod=readonly -modcacherw",
        "GOOS": "linux",
        "GOARCH": arch,
        "CGO_ENABLED": "0",
    }


def linker_flags() -> str:
    """Return the linker flags that set the binary's version to the commit's time, as upstream's gen-ldflags.go does.

    `go.mod` names the commit by a pseudo-version, v0.0.0-TIME-COMMIT.
    """
    found = re.search(r"github.com/minio/minio v0\.0\.0-(\d{14})-(\w{12})", (SOURCE / "go.mod").read_text())
    assert found, "go.mod names no commit of MinIO"
    time = datetime.strptime(found[1], "%Y%m%d%H%M%S")
    stamps = {
        "Version": f"{time:%Y-%m-%dT%H:%M:%SZ}",
        "ReleaseTag": f"DEVELOPMENT.{time:%Y-%m-%dT%H-%M-%SZ}",
        "CommitID": found[2],
        "ShortCommitID": found[2],
        "CopyrightYear": f"{time:%Y}",
    }
    return " ".join(["-s", "-w", *(f"-X github.com/minio/minio/cmd.{name}={value}" for name, value in stamps.items())])


def fetch(work: Path, environment: dict[str, str]) -> None:
    """Download the toolchain and MinIO's own module into the folder `work`.

    This takes two seconds, and checks that PyPI and the Go module proxy can be reached. Raises
    subprocess.CalledProcessError if a tool fails; the tool's output contains the reason.
    """
    uv = str(Path(sys.executable).with_name("uv"))
    install = [uv, "pip", "install", "--quiet", "--require-hashes"]
    subprocess.run([*install, "--target", work / "toolchain", "-r", SOURCE / "toolchain.txt"], check=True)
    subprocess.run(["go", "mod", "download", "github.com/minio/minio"], cwd=SOURCE, env=environment, check=True)


def compiled(work: Path, environment: dict[str, str], names: bool) -> Path:
    """Compile in the folder `work`, and return the binary's path. Raises subprocess.CalledProcessError if that fails.

    names: whether to print the number of packages and the name of each compiled one, which `progress` reads.
    """
    binary = work / "minio"
    if names:
        command = ["go", "list", "-deps", "."]
        listed = subprocess.run(command, cwd=SOURCE, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        print(f"packages: {len(listed.stdout.split())}", flush=True)
    command = ["go", "build", "-ldflags", linker_flags(), *["-v"] * names, "-o", str(binary), "."]
    subprocess.run(command, cwd=SOURCE, env=environment, check=True)
    return binary


def progress(log: str) -> str:
    """Return the progress of the build that writes this log, as text."""
    fetched, found, rest = log.partition("packages: ")
    if not found:
        return f"{fetched.count('go: downloading ')} modules of MinIO are downloaded"
    total, *names = rest.splitlines()
    return f"{sum(' ' not in name for name in names)} of {total} packages of MinIO are compiled"


def wait(target: Path, lock: IO[str], log: Path, seconds: float) -> None:
    """Wait for a build in the background. Exit with its progress after `seconds`, or with its error if it failed."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                print(progress(log.read_text()) if log.exists() else "MinIO's sources are fetched")
                sys.exit(GOES_ON)
            time.sleep(0.2)
    if not target.exists():
        said = [line for line in log.read_text().splitlines() if " " in line] if log.exists() else []
        sys.exit("\n".join(said[-8:]) or f"The build of MinIO broke off, {log} does not say why: run site.yml again.")


def detach(log: Path) -> None:
    """Continue in a child process, which keeps the lock and writes to `log`. This process ends, so no caller waits."""
    if os.fork():
        os._exit(0)
    os.setsid()
    with log.open("w") as output, Path(os.devnull).open() as nothing:
        for target, source in ((0, nothing), (1, output), (2, output)):
            os.dup2(source.fileno(), target)


def build(target: Path, arch: str, sha256_wanted: str, log: Path | None) -> None:
    """Build the binary at `target`. If there is a log, continue in the background once the sources were reached.

    Exits with an error message if the build fails, and leaves no files.
    """
    with tempfile.TemporaryDirectory(prefix="build-", dir=target.parent.parent) as folder:
        work = Path(folder)
        environment = go_environment(work, arch)
        try:
            fetch(work, environment)
            if log:
                detach(log)
            binary = compiled(work, environment, names=log is not None)
        except subprocess.CalledProcessError as error:
            sys.exit(
                f"MinIO could not be built: {Path(error.cmd[0]).name} failed, its reason is above. Give the controller "
                "a way to PyPI and to a Go module proxy (GOPROXY), or set minio_source to archive or file."
            )
        if (found := sha256(binary)) != sha256_wanted:
            sys.exit(
                f"The MinIO built here has the SHA-256 {found}, and minio_checksums.{arch} pins {sha256_wanted}: leave "
                "minio_checksums as they are, or look what differs."
            )
        target.parent.mkdir(exist_ok=True)
        binary.replace(target)


def main() -> None:
    """Put the binary into the cache unless it is there. Exit with an error message if that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", required=True, choices=["amd64", "arm64"])
    parser.add_argument("--sha256", required=True, help="what the binary must be")
    parser.add_argument("--cache", required=True, type=Path)
    parser.add_argument("--detach", action="store_true", help="compile in the background: CACHE/build.log")
    parser.add_argument("--wait", type=float, metavar="SECONDS", help=f"wait for that; exit {GOES_ON} while it goes on")
    args = parser.parse_args()

    target: Path = args.cache / args.sha256 / "minio"
    args.cache.mkdir(parents=True, exist_ok=True)
    with (args.cache / "lock").open("w") as lock:
        if args.wait is not None:
            wait(target, lock, args.cache / "build.log", args.wait)
            print(target)
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if args.detach:
                return  # another process builds it already
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left in args.cache.glob("build-*"):
            shutil.rmtree(left)
        if not target.exists() or sha256(target) != args.sha256:
            if shutil.disk_usage(args.cache).free < DISK_GIB << 30:
                sys.exit(f"minio_cache is {args.cache}, with less than the {DISK_GIB} GiB that a build needs: move it.")
            build(target, args.arch, args.sha256, args.cache / "build.log" if args.detach else None)
    print(target)


if __name__ == "__main__":
    main()
