"""Why a version is not served: Refused is the version's own fault, Unavailable may pass."""

from __future__ import annotations

import re


def sentence(text: object, limit: int = 300) -> str:
    """Return a text on one line of printable characters, as long as a tag of MLflow and a page can show."""
    line = re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in str(text))).strip()
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


class Refused(Exception):  # noqa: N818 - it is a verdict
    """The version is refused; the text says why, and goes into a tag of it."""


class Unavailable(Exception):  # noqa: N818 - it is a state
    """A server or the disk does not do its part; the follower tries again."""
