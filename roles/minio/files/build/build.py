"""Build MinIO's server once, from pinned source, into the controller's cache.

Prints the path of the binary. Several callers may run at once: one builds, the others wait for it.
Nothing stays behind but the binary; what an interrupted build left is removed by the next one.
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
from datetime import datetime
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
DISK_GIB = 4  # modules 1.2 GB, build cache 1 GB, toolchain 0.3 GB, and room to spare


def sha256(path: Path) -> str:
    """Return the SHA-256 of the file at `path`, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def go_environment(work: Path, arch: str) -> dict[str, str]:
    """Return the build's environment: the machine's own proxies and certificates, nothing else of Go's."""
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
    """Return the flags that tell the binary its version, after upstream's gen-ldflags.go: the commit's time.

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


def build(work: Path, arch: str) -> Path:
    """Compile in the folder `work` and return the binary's path.

    Raises subprocess.CalledProcessError when a tool fails; its own output has the reason.
    """
    uv = [Path(sys.executable).with_name("uv"), "pip", "install", "--quiet", "--require-hashes"]
    subprocess.run([*uv, "--target", work / "toolchain", "-r", SOURCE / "toolchain.txt"], check=True)
    binary = work / "minio"
    subprocess.run(
        ["go", "build", "-ldflags", linker_flags(), "-o", binary, "."],
        cwd=SOURCE,
        env=go_environment(work, arch),
        check=True,
    )
    return binary


def main() -> None:
    """Put the binary into the cache unless it is there; exit with a sentence where that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", required=True, choices=["amd64", "arm64"])
    parser.add_argument("--sha256", required=True, help="what the binary must be")
    parser.add_argument("--cache", required=True, type=Path)
    args = parser.parse_args()

    target: Path = args.cache / args.sha256 / "minio"
    args.cache.mkdir(parents=True, exist_ok=True)
    with (args.cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in args.cache.glob("build-*"):
            shutil.rmtree(left)
        if target.exists() and sha256(target) == args.sha256:
            print(target)
            return
        if shutil.disk_usage(args.cache).free < DISK_GIB << 30:
            sys.exit(f"{args.cache}: building MinIO needs {DISK_GIB} GiB of free disk; set XDG_CACHE_HOME elsewhere.")
        with tempfile.TemporaryDirectory(prefix="build-", dir=args.cache) as work:
            try:
                binary = build(Path(work), args.arch)
            except subprocess.CalledProcessError as error:
                sys.exit(
                    f"MinIO could not be built ({Path(error.cmd[0]).name} failed, its reason is above). Give the controller "
                    "a way to PyPI and a Go module proxy (GOPROXY), or set minio_source to archive or file."
                )
            if (found := sha256(binary)) != args.sha256:
                sys.exit(f"The MinIO built here has the SHA-256 {found}, but minio_checksums pins {args.sha256}.")
            target.parent.mkdir(exist_ok=True)
            binary.replace(target)
    print(target)


if __name__ == "__main__":
    main()
