"""Download a version to the disk and store its files' checksums. Later, check that the files are unchanged."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trackbox_serving.files import write_json
from trackbox_serving.follower.errors import Refused, Unavailable, sentence
from trackbox_serving.follower.registry import MOST_FILES, File, Registry
from trackbox_serving.version import About, Version

# The file beside about.json that contains the size and SHA-256 of each file.
CHECKSUMS = "checksums.json"


def fetch(registry: Registry, version: Version, max_mb: int) -> Path:
    """Download a version into a temporary folder, and return that folder. `keep` moves it to its final place.

    Raise Refused if the version is empty, too large or incomplete in the store. Raise Unavailable if the download broke
    off or the disk is full.
    """
    part = version.folder.with_name(f".{version.version}.part")
    shutil.rmtree(part, ignore_errors=True)
    place = registry.place(version.name, version.version)
    files = []
    for file in registry.files(place):
        files.append(file)
        if len(files) > MOST_FILES:
            raise Refused(f"The model has more than {MOST_FILES} files.")
    if not any(str(file.path) == "MLmodel" for file in files):
        raise Refused("The file MLmodel is missing in the artifact store.")
    size = sum(file.size for file in files)
    if size > max_mb << 20:
        raise Refused(f"The model has {size >> 20} MB, and {max_mb} MB are the most (serving_max_model_mb).")
    try:
        part.mkdir(parents=True)
        if shutil.disk_usage(part).free < size * 1.1 + (64 << 20):
            raise Unavailable(f"The disk has no room for the {size >> 20} MB of version {version.version}.")
        known = {str(file.path): save(registry, place, file, part / "model") for file in files}
        write_json(part / CHECKSUMS, known)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unavailable(f"The disk is full: version {version.version} was not downloaded.") from error
        raise
    return part


def save(registry: Registry, place: str, file: File, folder: Path) -> dict[str, Any]:
    """Download one file, and return its size and SHA-256. Raise Refused if the store lists another size."""
    target, digest, size = folder / file.path, hashlib.sha256(), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        for block in registry.read(place, file):
            size += len(block)
            if size > file.size:
                break
            digest.update(block)
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    if size != file.size:
        raise Refused(f"The file {sentence(file.path, 80)} has {size} bytes, and the artifact store lists {file.size}.")
    return {"size": size, "sha256": digest.hexdigest()}


def keep(part: Path, version: Version, about: About) -> None:
    """Move a downloaded and checked version to its final folder. Make it readable for the users of all workers."""
    write_json(part / "about.json", asdict(about))
    for folder, _, names in os.walk(part):
        Path(folder).chmod(0o755)
        for name in names:
            Path(folder, name).chmod(0o644)
    shutil.rmtree(version.folder, ignore_errors=True)
    part.rename(version.folder)


def damage(version: Version) -> str:
    """Return what is wrong with a version on the disk, or an empty string if its files are unchanged."""
    try:
        version.read_about()
        known = json.loads((version.folder / CHECKSUMS).read_text())
        for name, wanted in known.items():
            if checksum(version.model / name) != wanted["sha256"]:
                return f"The file {name} is damaged on the disk."
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"The version is incomplete on the disk: {sentence(error, 120)}"
    return ""


def checksum(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
