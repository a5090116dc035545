"""Errors that say why a version is not served: Refused is the version's own fault, Unavailable is temporary."""

from __future__ import annotations

import re


def sentence(text: object, limit: int = 300) -> str:
    """Return a text as one line of printable characters, cut to `limit` characters for a tag or a page."""
    line = re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in str(text))).strip()
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


class Refused(Exception):  # noqa: N818 - a verdict rather than an error
    """The version is refused. The message says why, and is written into a tag of the version."""


class Unavailable(Exception):  # noqa: N818 - a state rather than an error
    """A server is down, the disk is full, or the like. The follower tries again."""
