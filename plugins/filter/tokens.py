"""Filters about the tokens that NGINX accepts: checks of nginx_tokens, and the values by which NGINX checks a token."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROLES = ("admin", "viewer", "scorer")
# Ansible generates a token of 32 letters and digits, which are 190 bits. NGINX's configuration contains the first 8
# characters of each token, by which NGINX finds it. The other 142 bits stay secret.
TOKEN = r"[A-Za-z0-9]{32,128}"
BEGINNING = 8


def ends(end: str) -> float:
    """Return when a token expires, in seconds since 1970.

    end: a day or a time in ISO 8601. With a day, the token expires at the end of the day in UTC. A time without a time
    zone is in UTC, too. Raises ValueError if `end` is neither.
    """
    moment = datetime.fromisoformat(end)
    day = 24 * 60 * 60 if re.fullmatch(r"\d{4}-\d\d-\d\d", end) else 0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() + day


def token_problems(tokens: Sequence[Mapping[str, Any]], taken: Sequence[str] = (), now: float = 0) -> list[str]:
    """Return an error message for each mistake in the variable nginx_tokens, without quoting a token.

    taken: the names of users and programs. now: the time in seconds since 1970; 0 for the present.
    """
    problems = []
    # Compare names in lower case, because NGINX's `map` is case-insensitive.
    others = {name.lower() for name in taken}
    for name, times in Counter(str(token.get("name", "")).lower() for token in tokens).items():
        if times > 1:
            problems.append(f"nginx_tokens: {name} is there {times} times, capitals aside: remove all but one.")
    beginnings = Counter(str(token["token"])[:BEGINNING].lower() for token in tokens if "token" in token)
    if any(times > 1 for times in beginnings.values()):
        problems.append(
            f"nginx_tokens: two tokens begin with the same {BEGINNING} characters, by which NGINX tells them apart: "
            "replace one."
        )
    for token in tokens:
        name = str(token.get("name", ""))
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,32}", name) or name.startswith("."):
            problems.append(
                f"nginx_tokens: {name!r} cannot be a token's name: take letters, digits and . _ -, 32 at the most, "
                "no dot at its beginning."
            )
        elif name.lower() in others:
            problems.append(f"nginx_tokens: {name} is the name of a user or of a program: give the token another one.")
        problems += [f"nginx_tokens: {name}: {sentence}" for sentence in one_problem(token, now or time.time())]
    return problems


def one_problem(token: Mapping[str, Any], now: float) -> list[str]:
    """Return an error message for each mistake in a token, except those in its name."""
    problems = []
    if token.get("role") not in ROLES:
        problems.append(f"its role is {token.get('role', '')!r}: take one of {', '.join(ROLES)}.")
    end = str(token.get("end", ""))
    try:
        if ends(end) <= now:
            problems.append(f"it has ended ({end}): give it a later end, or remove it.")
    except ValueError:
        problems.append(f"its end is {end!r}: write a day or a time, as in '2027-01-31' or '2027-01-31T18:00'.")
    for address in token.get("addresses") or []:
        try:
            ipaddress.ip_network(address)
        except ValueError as error:
            problems.append(f"{address!r} among its addresses is no address and no network: {error}.")
    if "token" in token and not re.fullmatch(TOKEN, str(token["token"])):
        problems.append("its token does not fit: take 32 to 128 random letters and digits.")
    return problems


def with_tokens(tokens: Sequence[Mapping[str, Any]], generated: Sequence[str]) -> list[dict[str, Any]]:
    """Return the entries of nginx_tokens, each with its `token`.

    generated: the generated tokens, in the order of the entries that have no `token` of their own.
    """
    left = iter(generated)
    return [{**token, "token": token["token"] if "token" in token else next(left)} for token in tokens]


def generated_logins(logins: Sequence[Mapping[str, Any]], folder: str) -> list[Mapping[str, Any]]:
    """Return the logins whose password Trackbox has generated, each with the password also as its `token`.

    folder: the folder of the generated secrets.
    """
    texts = {path.read_text().rstrip() for path in Path(folder).glob("*_password")}
    return [
        {**login, "token": login["password"]}
        for login in logins
        if login["password"] in texts and re.fullmatch(TOKEN, login["password"])
    ]


def hashed(text: str, end: str) -> str:
    """Return the value that NGINX's `secure_link` compares: the text's MD5 and, if `end` is given, its Unix time."""
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    coded = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return f"{coded},{int(ends(end))}" if end else coded


def token_hashes(tokens: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return for each token the values that NGINX's configuration contains. The token itself is not among them.

    beginning: its first 8 characters. bearer, basic: the hashes of the two forms in which clients send it.
    """
    found = []
    for token in tokens:
        login = base64.b64encode(f"{token['name']}:{token['token']}".encode()).decode()
        end = str(token.get("end", ""))
        found.append(
            {
                "name": token["name"],
                "role": token.get("role", "admin"),
                "addresses": list(token.get("addresses") or []),
                "end": end,
                "beginning": token["token"][:BEGINNING],
                "bearer": hashed(token["token"], end),
                "basic": hashed(login, end),
            }
        )
    return found


def token_ends(tokens: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return when each token expires, in seconds since 1970, by the token's name."""
    return {token["name"]: ends(str(token["end"])) for token in tokens}


def token_secrets(tokens: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return each token, by a description of it for messages."""
    return {f"the token {token['name']}": token["token"] for token in tokens}


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return a mapping from the name of each filter to its function."""
        return {
            "generated_logins": generated_logins,
            "token_ends": token_ends,
            "token_hashes": token_hashes,
            "token_problems": token_problems,
            "token_secrets": token_secrets,
            "with_tokens": with_tokens,
        }
