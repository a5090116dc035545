"""The filter `content_problems`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")  # as S3 has it
USER = re.compile(r"[A-Za-z0-9._-]{3,}")


def content_problems(
    buckets: Sequence[Mapping[str, Any]], users: Sequence[Mapping[str, Any]], root_user: str, root_password: str
) -> list[str]:
    """Return a sentence for each bucket or user that MinIO would refuse; secrets are not quoted.

    buckets, users: minio_buckets and minio_users, whose types are checked already.
    """
    names = [bucket["name"] for bucket in buckets]
    problems = [
        f"minio_buckets: {name!r} cannot be a bucket's name: take 3 to 63 small letters, digits, dots and hyphens."
        for name in names
        if not BUCKET.fullmatch(name)
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


class FilterModule:
    """The filters of this file, for Ansible."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filters by name."""
        return {"content_problems": content_problems}
