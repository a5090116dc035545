"""Prepare the environments that the follower asks for, remove all others, and exit.

    python -m trackbox_serving.environments.build UV FOLDER ROOT MB SECONDS

FOLDER contains the follower's wanted.json. The program writes environments and results to ROOT; place.py describes
them. By default, this is serving's only program that can reach other machines. It installs only wheels, because the
installation of a wheel runs no code of the package.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from trackbox_serving.environments.place import MOST_BYTES, NAME, PYTHON, RESULTS, WANTED, Needs, Result, digest
from trackbox_serving.environments.requirements import FREE, PINNED, checked
from trackbox_serving.files import read_regular
from trackbox_serving.follower.errors import Refused, Unavailable, sentence

# The name of the default environment, whose Python runs this program.
BASE = Path(sys.prefix).name
# PART: folder of an environment that is being made. GONE: prefix of the folder of an environment that is being removed.
PART, GONE = ".part", ".gone-"
# LOOK: seconds between two checks of whether uv must stop. FREE_BYTES: minimum free disk space, in bytes.
LOOK, FREE_BYTES = 2.0, 512 << 20
LOCKED = re.compile(r"(?m)^([a-z0-9._-]+)==([^\s\\;]+)")


class Withdrawn(Exception):  # noqa: N818 - a state rather than an error
    """The follower no longer asks for the environment."""


@dataclass(frozen=True)
class Request:
    """The follower's request for an environment. asked: identifier of the request; the result repeats it."""

    key: str
    needs: Needs
    asked: str


@dataclass(frozen=True)
class Builder:
    """Makes environments.

    Attributes:
        uv: path of the program uv.
        folder: the follower's folder.
        root: folder of the environments.
        most_mb: maximum size of all environments, in MB.
        seconds: time limit for one environment.

    """

    uv: str
    folder: Path
    root: Path
    most_mb: int
    seconds: float

    def run(self) -> None:
        """Make all missing environments that the follower asks for, and those that it asks for in the meantime."""
        tried: set[tuple[str, str]] = set()
        (self.root / RESULTS).mkdir(exist_ok=True)
        with locked(self.root):
            while True:
                wanted, keep_others = self.wanted()
                if not keep_others:
                    self.remove_others({request.key for request in wanted})
                missing = [each for each in wanted if (each.key, each.asked) not in tried and self.is_missing(each)]
                if not missing:
                    return
                tried.add((missing[0].key, missing[0].asked))
                self.answer(missing[0])

    def wanted(self) -> tuple[list[Request], bool]:
        """Return the follower's requests, and whether to keep all other environments."""
        given = json.loads(read_regular(self.folder / WANTED, MOST_BYTES))
        found = [
            Request(key, Needs.read(each), str(each["asked"]))
            for key, each in given["environments"].items()
            if NAME.fullmatch(key)
        ]
        return found, given.get("keep_others") is True

    def is_missing(self, request: Request) -> bool:
        """Return whether to make an environment: whether its request is for this program's base, and has no result."""
        found = Result.read(self.root, request.key)
        answered = found is not None and (bool(found.environment) or found.asked == request.asked)
        return not answered and request.needs.key(BASE) == request.key

    def answer(self, request: Request) -> None:
        """Make an environment, and write the result."""
        part = self.root / PART
        shutil.rmtree(part, ignore_errors=True)
        print(f"prepares {request.key}: {', '.join(request.needs.requirements)}", flush=True)
        try:
            name = self.make(request, part)
            packages = dict(LOCKED.findall((self.root / name / "lock.txt").read_text()))
            result = Result(environment=name, asked=request.asked, packages=packages)
        except Refused as refusal:
            result = Result(refused=sentence(refusal), asked=request.asked)
        except (Unavailable, OSError) as error:
            result = Result(unavailable=sentence(error), asked=request.asked)
        except Withdrawn:
            return
        finally:
            shutil.rmtree(part, ignore_errors=True)
        print(result.environment or result.refused or result.unavailable, flush=True)
        result.write(self.root, request.key)

    def make(self, request: Request, part: Path) -> str:
        """Lock and install the packages of a request; return the environment's name."""
        for folder in ("cache", "tmp"):
            (part / folder).mkdir(parents=True)
        ours = versions()
        lines = [f"{name}=={ours[name]}" for name in PINNED] + list(FREE) + checked(request.needs.requirements)
        preferred = {**ours, **dict(text.split("==", 1) for text in checked(request.needs.preferences))}
        (part / "requirements.in").write_text("\n".join(lines) + "\n")
        # uv keeps the versions of an existing lock if the requirements allow them.
        lock = part / "lock.txt"
        lock.write_text("".join(f"{name}=={version}\n" for name, version in sorted(preferred.items())))
        python = str(Path(sys.base_prefix) / "bin" / f"python{PYTHON}")
        end = time.monotonic() + self.seconds
        compiling = "pip compile --only-binary :all: --generate-hashes --no-annotate --no-header --no-emit-index-url"
        self.uv_run(
            request, end, *compiling.split(), "--python", python, "--output-file", "lock.txt", "requirements.in"
        )
        name = digest(f"python{PYTHON}\n{lock.read_text()}")
        if (self.root / name).is_dir():
            return name
        self.uv_run(request, end, "venv", "--relocatable", "--no-project", "--python", python, "environment")
        installing = (
            "pip install --require-hashes --only-binary :all: --compile-bytecode --python environment -r lock.txt"
        )
        self.uv_run(request, end, *installing.split())
        new = part / "environment"
        (new / ".lock").unlink(missing_ok=True)
        lock.rename(new / "lock.txt")
        # Write all files to the disk first, so that a folder with its final name is complete after a power failure.
        os.sync()
        new.rename(self.root / name)
        return name

    def uv_run(self, request: Request, end: float, *arguments: str) -> None:
        """Run uv in the folder PART. Raise Refused, Unavailable or Withdrawn if it fails or has to be stopped."""
        part = self.root / PART
        own = {
            "HOME": str(part), "UV_CACHE_DIR": str(part / "cache"), "TMPDIR": str(part / "tmp"),
            "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1",
        }  # fmt: skip
        with (part / "errors").open("w+") as errors:
            with subprocess.Popen(
                [self.uv, "--quiet", *arguments], cwd=part, env={**os.environ, **own}, stdin=subprocess.DEVNULL,
                stdout=errors, stderr=errors,
            ) as process:  # fmt: skip
                try:
                    while process.poll() is None:
                        self.check(request, end)
                        try:
                            process.wait(LOOK)
                        except subprocess.TimeoutExpired:
                            continue
                finally:
                    if process.poll() is None:
                        process.kill()
            errors.seek(0)
            said = errors.read(1 << 20)
        self.check(request, end)
        if process.returncode == -signal.SIGKILL:
            raise Refused("Its packages cannot be installed: the installation takes more memory than it may.")
        if process.returncode:
            raise failure(said)

    def check(self, request: Request, end: float) -> None:
        """Raise an error if an installation must stop: it takes too much time or disk, or it is no longer wanted."""
        if time.monotonic() > end:
            raise Refused(f"Its packages were not installed within {self.seconds:.0f} s (serving_environment_seconds).")
        if size(self.root) > self.most_mb << 20:
            raise Refused(
                f"Its packages, with those of other versions, take more than {self.most_mb} MB "
                "(serving_environments_disk_mb)."
            )
        if shutil.disk_usage(self.root).free < FREE_BYTES:
            raise Unavailable(f"The disk has less than {FREE_BYTES >> 20} MB left for packages.")
        if all(each.key != request.key for each in self.wanted()[0]):
            raise Withdrawn

    def remove_others(self, keys: set[str]) -> None:
        """Remove the results of all keys but these, and the environments that no remaining result names."""
        for path in (self.root / RESULTS).iterdir():
            if path.stem not in keys:
                path.unlink(missing_ok=True)
        results = [Result.read(self.root, path.stem) for path in (self.root / RESULTS).glob("*.json")]
        used = {result.environment for result in results if result}
        for path in list(self.root.iterdir()):
            if path.name == RESULTS or path.name in used:
                continue
            gone = path
            if not path.name.startswith("."):
                # Rename the folder first, so that an interruption leaves no incomplete environment.
                gone = path.with_name(f"{GONE}{path.name}")
                path.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)


def versions() -> dict[str, str]:
    """Return the version of each package of the default environment, by its normalized name."""
    found = ((each.metadata["Name"], each.version) for each in distributions())
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found if name}


def failure(said: str) -> Refused | Unavailable:
    """Return Refused if uv reports missing or conflicting packages, else Unavailable (the index may be down)."""
    # uv prints the reason as a paragraph, whose lines may begin with box-drawing characters.
    reason = re.search(r"Because .*?(?=\n\s*\n|\Z)", re.sub(r"(?m)^[ ×╰─▶│]+", "", said), re.DOTALL)
    if "No solution found" in said and reason:
        return Refused(f"Its packages cannot be installed: {sentence(reason[0], 240)}")
    # Replace URLs, because a URL may contain a password.
    words = re.sub(r"\w+://\S+", "the index", sentence(said, 2000)).removeprefix("error: ")
    return Unavailable(f"The packages cannot be installed now: {sentence(words, 200)}")


def size(folder: Path) -> int:
    """Return the size of a folder on the disk, in bytes. A file with several links counts once."""
    total, seen = 0, set()
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            try:
                found = os.lstat(os.path.join(place, name))  # noqa: PTH118 - a Path takes three times as long
            except FileNotFoundError:
                continue
            if found.st_nlink == 1 or found.st_ino not in seen:
                total += found.st_blocks * 512
                seen.add(found.st_ino)
    return total


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the lock of the environments' folder, because an upgrade may prepare environments at the same time."""
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def main(arguments: Sequence[str] = ()) -> int:
    """Run the program with its arguments; return the exit code."""
    uv, folder, root, most_mb, seconds = arguments or sys.argv[1:]
    try:
        Builder(uv, Path(folder), Path(root), int(most_mb), float(seconds)).run()
    except FileNotFoundError:
        # The follower has made no request yet.
        return 0
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        print(f"{folder}/{WANTED}: {error!r}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
