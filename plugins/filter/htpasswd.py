"""Filters about NGINX's logins: the htpasswd file, checks of users and passwords, and a list of all login secrets."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

# The cost of bcrypt. It is low because NGINX computes a hash for every request, which blocks an NGINX worker meanwhile.
# Measured: 1,218 requests a second at cost 5, and 42 at cost 10.
COST = 5


def salt(seed: str, name: str) -> bytes:
    """Return the user's bcrypt salt. It is derived from the seed and the name, so it is the same in every run.

    A salt has 22 characters of bcrypt's base64. The last one is fixed here, because it encodes only two bits.
    """
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    letters = base64.b64encode(digest, b"./")[:21].decode()
    return f"$2b${COST:02}${letters}O".encode()


def htpasswd(users: Sequence[Mapping[str, str]], seed: str) -> str:
    """Return the text of an htpasswd file, a line `name:hash` for each user.

    users: each with `name` and `password`, of 72 bytes at the most. seed: the secret from which salts are derived.
    """
    try:
        import bcrypt
    except ImportError:
        raise AnsibleFilterError("Python's library bcrypt is missing on the controller: pip install bcrypt.") from None
    hashes = {user["name"]: bcrypt.hashpw(user["password"].encode(), salt(seed, user["name"])) for user in users}
    return "".join(f"{name}:{password.decode()}\n" for name, password in hashes.items())


def fits(password: str) -> bool:
    """Return whether the password has at least 12 bytes (against guessing) and at most 72 bytes (bcrypt's limit)."""
    return 12 <= len(password.encode()) <= 72


def htpasswd_problems(users: Sequence[Mapping[str, str]], programs: Sequence[Mapping[str, str]] = ()) -> list[str]:
    """Return an error message for each user who could not log in, and one if there is no admin.

    The messages quote no password.
    programs: the accounts of Trackbox's own programs, each with `name`, `password` and the `variable` of the password.
    """
    theirs = {program["name"] for program in programs}
    problems = []
    for name, times in Counter(user["name"] for user in users).items():
        if not re.fullmatch(r"[A-Za-z0-9._@-]+", name):
            problems.append(
                f"nginx_users: {name!r} cannot be a user's name: take letters, digits and . _ @ -, no colon."
            )
        if times > 1:
            problems.append(f"nginx_users: {name} is there {times} times: remove all but one.")
        if name in theirs:
            problems.append(
                f"nginx_users: {name} is the account of a program of Trackbox's own, and is there by itself: remove it."
            )
    for user in users:
        if not fits(user["password"]):
            problems.append(f"nginx_users: the password of {user['name']} does not fit: give it 12 to 72 bytes.")
    problems += [
        f"{program['variable']} does not fit: give it 12 to 72 bytes."
        for program in programs
        if not fits(program["password"])
    ]
    if not any(user.get("role", "admin") == "admin" for user in users):
        problems.append(
            "nginx_users has no admin, so that nobody could change anything: give one of them the role admin."
        )
    return problems


def login_secrets(users: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return each user's password and HTTP Basic credentials, by descriptions of them for messages."""
    pairs = [(user["name"], user["password"]) for user in users]
    return {f"the password of {name}": password for name, password in pairs} | {
        f"the login of {name}": base64.b64encode(f"{name}:{password}".encode()).decode() for name, password in pairs
    }


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return a mapping from the name of each filter to its function."""
        return {"htpasswd": htpasswd, "htpasswd_problems": htpasswd_problems, "login_secrets": login_secrets}
