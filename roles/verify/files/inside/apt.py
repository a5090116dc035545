"""The promise about APT: packages come from signed sources."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from promises import Facts, promise
from tools import output

UNSIGNED = re.compile(
    r"\[[^]]*(?:trusted|allow-insecure|allow-weak)\s*=\s*yes|^(?:trusted|allow-insecure|allow-weak):\s*yes", re.I | re.M
)
OFF = ("APT::Get::AllowUnauthenticated", "Acquire::AllowInsecureRepositories", "Acquire::AllowWeakRepositories")


@promise("host")
def packages_signed(_: Facts) -> Iterator[str]:
    """No package comes from a source without a signature."""
    for path in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        if path.is_file() and any(UNSIGNED.search(line) for line in path.read_text().splitlines() if line[:1] != "#"):
            yield f"{path} trusts a source that does not sign"
    settings = output("apt-config", "dump")
    for name in OFF:
        value = re.search(rf'^{name} "(.*)";', settings, re.MULTILINE)
        if value and value[1].lower() in ("1", "true", "yes"):
            yield f"{name} is {value[1]}"
