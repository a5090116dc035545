"""Filters about MinIO: checks of the settings and of upgrades, and the users' policies."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

SHA256 = re.compile("[0-9a-f]{64}")
# Absolute paths without spaces or characters that are special for systemd or a shell.
PATH = re.compile(r"(/[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*)+")
# Folders of the system that cannot be minio_data_dir. The role makes that folder private, so other programs could no
# longer read the files in it.
SYSTEM = {"/opt", "/srv", "/var", "/mnt", "/media", "/var/cache", "/var/lib", "/var/log", "/var/spool"}
# Folders that cannot contain the objects, because they belong to other services, the unit's sandbox hides them, or a
# reboot empties them.
CLOSED = (
    *("/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/tmp"),
    *("/usr", "/var/run", "/var/tmp", "/var/lib/mysql", "/var/lib/mlflow", "/var/lib/trackbox", "/opt/trackbox"),
)
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")  # S3's rule for names of buckets
USER = re.compile(r"[A-Za-z0-9._-]{3,}")
MODULE = Path(__file__).parents[1] / "modules/minio_content.py"


def source_problems(settings: Mapping[str, Any], architecture: str) -> list[str]:
    """Return an error message for each setting that would prevent the installation of MinIO's binary.

    settings: the role's variables. architecture: the machine's architecture, such as amd64.
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
    """Return an error message for each bad setting, except buckets and users. Arguments: as in source_problems."""
    problems, days = source_problems(settings, architecture), settings["minio_old_versions_days"]
    if int(days) < 0:
        problems.append(f"minio_old_versions_days is {days}: it must be 0, which keeps all, or more.")
    return problems


def minio_version(output: str) -> str:
    """Return MinIO's version, the third word in the output of `minio --version`; empty if there is none."""
    return " ".join(output.split()[2:3])


def released(version: str) -> str:
    """Return the timestamp in a version such as RELEASE.2025-10-15T17-29-55Z. Timestamps sort correctly as text."""
    return re.sub("^[A-Z]+.", "", version)


def minio_pending(found: Mapping[str, str], folder: str) -> list[str]:
    """Return a list with a line `OLD -> NEW` if an upgrade is pending or was interrupted; otherwise an empty list.

    found: the output of files/installed. folder: the folder of this checkout's binary.
    """
    if found["binary"] == f"{folder}/minio" and "interrupted" not in found:
        return []
    now = f"MinIO {minio_version(found['version'])} ({Path(found['binary']).parent.name})"
    return [f"{now} -> {Path(folder).name}"]


def minio_upgrade_problem(ran: Mapping[str, Any], host: str, before: str) -> str:
    """Return the error message that refuses a new binary; empty if it is accepted.

    ran: the result of the new binary's `minio --version`. before: the old binary's version.
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


def folder_problems(folder: str) -> list[str]:
    """Return an error message if MinIO cannot keep its objects in this folder.

    folder: minio_data_dir.
    """
    if not PATH.fullmatch(folder):
        return [
            f"minio_data_dir is {folder!r}: give it an absolute path of letters, digits and . _ @ + -, without / at "
            "the end, such as /srv/objects."
        ]
    if folder in SYSTEM or any(folder == closed or folder.startswith(f"{closed}/") for closed in CLOSED):
        return [
            f"minio_data_dir is {folder}, a folder of the system that MinIO cannot have for itself: name a folder of "
            "its own, such as /srv/objects."
        ]
    return []


def content_problems(
    buckets: Sequence[Mapping[str, Any]],
    users: Sequence[Mapping[str, Any]],
    root_user: str,
    root_password: str,
    scratch_buckets: Sequence[str] = (),
) -> list[str]:
    """Return an error message for each bucket or user that MinIO would refuse, without quoting secrets.

    buckets, users: minio_buckets and minio_users, with types that were checked before. scratch_buckets: the names of
    buckets that services create and remove.
    """
    names = [bucket["name"] for bucket in buckets]
    problems = [
        f"minio_buckets: {name!r} cannot be a bucket's name: take 3 to 63 small letters, digits, dots and hyphens."
        for name in names
        if not BUCKET.fullmatch(name)
    ]
    problems += [
        f"minio_buckets: {name} is the name of a scratch bucket, which a service empties: choose another."
        for name in names
        if name in scratch_buckets
    ]
    logins = [("minio_users", user["name"], user["secret"]) for user in users]
    for variable, name, secret in [*logins, ("minio_root_user", root_user, root_password)]:
        if not USER.fullmatch(name):
            problems.append(f"{variable}: {name!r} cannot be a user's name: take 3 or more letters, digits and . _ -.")
        if len(secret) < 8:
            problems.append(f"{variable}: the secret of {name} is too short: give it 8 characters or more.")
        if secret != secret.strip():
            problems.append(
                f"{variable}: the secret of {name} begins or ends with a space, which S3 clients drop: remove it."
            )
    for variable, given in (("minio_buckets", names), ("minio_users", [name for _variable, name, _secret in logins])):
        twice = [name for name, times in Counter(given).items() if times > 1]
        problems += [f"{variable}: {name} is there twice: remove one of them." for name in twice]
    if root_user in (name for _variable, name, _secret in logins):
        problems.append(f"minio_users: {root_user} is the name of MinIO's root user: choose another.")
    for user in users:
        problems += [
            f"minio_users: {user['name']} may use the bucket {name}, which minio_buckets does not have: add it there."
            for name in [*user.get("read", []), *user.get("write", [])]
            if name not in names
        ]
    return problems


def s3_policies(users: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the S3 policy of each user in `minio_users`, by the user's name.

    The module minio_content builds the policies, as it does when it creates the users.
    """
    loader = SourceFileLoader("minio_content", str(MODULE))
    module = ModuleType(loader.name)
    loader.exec_module(module)
    return {user["name"]: module.policy(user.get("read", []), user.get("write", [])) for user in users}


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return a mapping from the name of each filter to its function."""
        return {
            "content_problems": content_problems,
            "folder_problems": folder_problems,
            "minio_pending": minio_pending,
            "minio_problems": minio_problems,
            "minio_upgrade_problem": minio_upgrade_problem,
            "minio_version": minio_version,
            "s3_policies": s3_policies,
        }
