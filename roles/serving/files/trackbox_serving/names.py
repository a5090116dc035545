"""The name of a version's systemd unit: MODEL/VERSION, with the model's name quoted as in its folders' names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

# The form of a model's name after `quote`. A name that begins with a dot or a hyphen is refused.
FOLDER = re.compile(r"(?:[A-Za-z0-9_~]|%[0-9A-F]{2})(?:[A-Za-z0-9_.~-]|%[0-9A-F]{2}){0,240}")
VERSION = re.compile(r"[1-9][0-9]{0,9}")
# The follower's own requests are logged under this user name, so that they do not count as client traffic.
FOLLOWER = "trackbox-follower"


@dataclass(frozen=True)
class Unit:
    """The systemd unit of a version. `name` is the name of the registered model, `version` the version's number."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{quote(self.name, safe='')}/{self.version}"

    @classmethod
    def parse(cls, text: str) -> Unit:
        """Return the unit that a text MODEL/VERSION names. Raise ValueError if the text has another form."""
        folder, slash, version = text.partition("/")
        unit = cls(unquote(folder, errors="replace"), version)
        if not slash or not FOLDER.fullmatch(folder) or not VERSION.fullmatch(version) or str(unit) != text:
            raise ValueError(f"{text[:100]!r} is no unit: MODEL/VERSION is one")
        return unit

    @property
    def instance(self) -> str:
        """The unit's instance name for systemd, escaped like systemd-escape(1) does it."""
        return "-".join(map(escape, str(self).split("/")))


def escape(part: str) -> str:
    """Escape a part of an instance name like systemd-escape(1) does it."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_.:") else f"\\x{ord(c):02x}" for c in part)
