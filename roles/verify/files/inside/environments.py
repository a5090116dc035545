"""Promises about Python environments: they contain the packages of their lock, and no file was changed."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import Distribution
from pathlib import Path

from promises import Facts, promise_of_each

# Files that uv writes into every environment, and that belong to no package.
UVS = {"_virtualenv.py", "_virtualenv.pth"}


def normal(name: str) -> str:
    """Return a package's normalized name, as PyPI defines it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def differing(folder: Path) -> tuple[list[str], set[str]]:
    """Return the files of an installed package that differ from its wheel, and all files that its RECORD lists.

    folder: the package's .dist-info.
    """
    bad, named = [], set()
    with (folder / "RECORD").open(newline="") as record:
        for name, kept, *_ in csv.reader(record):
            path = os.path.normpath(folder.parent / name)
            named.add(path)
            if kept.startswith("sha256="):
                try:
                    digest = hashlib.sha256(Path(path).read_bytes()).digest()
                except FileNotFoundError:
                    digest = b""
                if base64.urlsafe_b64encode(digest).decode().rstrip("=") != kept[7:]:
                    bad.append(path)
    return bad, named


@promise_of_each("environments")
def packages_locked(its: Facts) -> Iterator[str]:
    """{} has exactly the Python packages and versions of its lock."""
    for environment in its["environments"]:
        [site] = Path(environment["path"]).glob("lib/python3*/site-packages")
        found = {}
        for folder in site.glob("*.dist-info"):
            about = Distribution.at(folder)
            found[normal(about.metadata["Name"])] = about.version
        locked: dict[str, set[str]] = {}
        for name, version in environment["lock"]:
            locked.setdefault(normal(name), set()).add(version)
        # Accept the training package, which is not in the lock. Its wheel is in the environment's parent folder.
        own = {
            normal(path.name.partition("-")[0])
            for path in Path(environment.get("wheels", "/nonexistent")).glob("*.whl")
        }
        for name, version in sorted(found.items()):
            if name not in own and version not in locked.get(name, set()):
                yield f"{name} {version} is in {environment['path']}"
        yield from (f"{name} is missing in {environment['path']}" for name in environment["needs"] if name not in found)
        if not (Path(environment["path"]) / environment["mark"]).exists():
            yield f"{environment['path']} was made from another lock"


@promise_of_each("environments")
def packages_intact(its: Facts) -> Iterator[str]:
    """{} has unmodified Python packages, and no module beside them."""
    for environment in its["environments"]:
        [site] = Path(environment["path"]).glob("lib/python3*/site-packages")
        known = {str(site / name) for name in UVS}
        with ThreadPoolExecutor(2) as pool:
            for bad, named in pool.map(differing, site.glob("*.dist-info")):
                known |= named
                yield from (f"{path} is another" for path in bad)
        for folder, _, files in os.walk(site):
            for name in files:
                path = f"{folder}/{name}"
                if name.endswith((".py", ".pth", ".so")) and path not in known:
                    yield f"{path} belongs to no package"
