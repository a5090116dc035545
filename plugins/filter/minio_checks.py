"""Filters about MinIO: bad settings of its binary, and what an upgrade may not do."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SHA256 = re.compile("[0-9a-f]{64}")


def source_problems(settings: Mapping[str, Any], architecture: str) -> list[str]:
    """Return a sentence for each setting with which no binary could be installed.

    settings: the role's variables. architecture: the machine's, such as amd64.
    """
    source, file, archive = settings["minio_source"], settings["minio_file"], settings["minio_archive"]
    if source == "file":
        return [
            f'minio_file is "{file}": there is no such file on the controller; name the binary, or choose another '
            "minio_source."
        ] * (not Path(file).is_file())
    problems = []
    if source == "archive" and not archive.get("url"):
        problems.append("minio_source is archive, and minio_archive names no url: give it one.")
    name, sha256 = {
        "archive": ("minio_archive.sha256", archive.get("sha256", "")),
        "build": (f"minio_checksums.{architecture}", settings["minio_checksums"].get(architecture, "")),
    }[source]
    if not SHA256.fullmatch(str(sha256)):
        problems.append(
            f'minio_source is {source}, and {name} is "{sha256}": give it the 64 hexadecimal digits of its SHA-256.'
        )
    return problems


def minio_problems(settings: Mapping[str, Any], architecture: str) -> list[str]:
    """Return a sentence for each setting, but for buckets and users, with which MinIO cannot work; see above."""
    problems, days = source_problems(settings, architecture), settings["minio_old_versions_days"]
    if int(days) < 0:
        problems.append(f"minio_old_versions_days is {days}: it must be 0, which keeps all, or more.")
    return problems


def minio_version(output: str) -> str:
    """Return the version in what `minio --version` printed: its third word; empty where there is none."""
    return " ".join(output.split()[2:3])


def released(version: str) -> str:
    """Return when a version was released, which sorts: RELEASE.2025-10-15T17-29-55Z has the time after its dot."""
    return re.sub("^[A-Z]+.", "", version)


def minio_pending(found: Mapping[str, str], folder: str) -> list[str]:
    """Return a line that says from what to what an upgrade leads; none where nothing is behind or interrupted.

    found: what files/installed printed. folder: that of the binary of this checkout.
    """
    if found["binary"] == f"{folder}/minio" and "interrupted" not in found:
        return []
    now = f"MinIO {minio_version(found['version'])} ({Path(found['binary']).parent.name})"
    return [f"{now} -> {Path(folder).name}"]


def minio_upgrade_problem(ran: Mapping[str, Any], host: str, before: str) -> str:
    """Return the sentence by which a new binary is refused, or nothing.

    ran: the result of `minio --version`. before: the version of the old one.
    """
    if ran["rc"] != 0:
        return f"The new MinIO does not run on {host}, and the old one goes on: {ran.get('msg') or ran['stderr']}"
    version = minio_version(ran["stdout"])
    if released(version) < released(before):
        return (
            f"{host} has MinIO {before}, and this checkout pins {version}: a downgrade is refused, and the newer one "
            "goes on. Use the newer Trackbox, or restore a backup that this one made."
        )
    return ""


class FilterModule:
    """The filters of this file, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "minio_pending": minio_pending,
            "minio_problems": minio_problems,
            "minio_upgrade_problem": minio_upgrade_problem,
            "minio_version": minio_version,
        }
