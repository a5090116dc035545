"""The name of a version's unit: MODEL/VERSION, with the model's name as its folders have it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

# What `quote` makes of a name; one that begins with a dot or a hyphen is refused.
FOLDER = re.compile(r"(?:[A-Za-z0-9_~]|%[0-9A-F]{2})(?:[A-Za-z0-9_.~-]|%[0-9A-F]{2}){0,240}")
VERSION = re.compile(r"[1-9][0-9]{0,9}")
# The user of the follower's own requests: they are logged under this name, and are no traffic.
FOLLOWER = "trackbox-follower"


@dataclass(frozen=True)
class Unit:
    """A version's unit. name: the model's, as in the registry. version: its number."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{quote(self.name, safe='')}/{self.version}"

    @classmethod
    def parse(cls, text: str) -> Unit:
        """Return the unit of MODEL/VERSION. ValueError: the text is none."""
        folder, slash, version = text.partition("/")
        unit = cls(unquote(folder, errors="replace"), version)
        if not slash or not FOLDER.fullmatch(folder) or not VERSION.fullmatch(version) or str(unit) != text:
            raise ValueError(f"{text[:100]!r} is no unit: MODEL/VERSION is one")
        return unit

    @property
    def instance(self) -> str:
        """The unit's instance for systemd, as systemd-escape(1) writes it."""
        return "-".join(map(escape, str(self).split("/")))


def escape(part: str) -> str:
    """Return a part of an instance's name as systemd-escape(1) does."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_.:") else f"\\x{ord(c):02x}" for c in part)
