"""Filters about the database server: checks of the settings, and the upgrade that APT would install."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

REPOSITORY = ("uris", "suites", "components", "packages")
SIZE = re.compile("([0-9]+)([KMG]?)")
# The series is the first two numbers of a version. An epoch of Debian, such as `1:`, may precede them.
SERIES = re.compile(r"(?:[0-9]+:)?([0-9]+\.[0-9]+)")
NONE = "(none)"


def pool_fits(size: object, limit_mb: int) -> bool:
    """Return whether the text is a size, such as 512M, below the limit."""
    found = SIZE.fullmatch(str(size))
    return found is not None and int(found[1]) * 1024 ** " KMG".index(found[2] or " ") < limit_mb * 2**20


def mysql_problems(settings: Mapping[str, Any], host: str, memory_mb: int, distribution: str) -> list[str]:
    """Return an error message for each setting with which the database server could not be installed or run.

    settings: the role's variables. memory_mb: the machine's whole memory. distribution: its name, such as Debian.
    """
    problems, half, repository = [], memory_mb // 2, settings["mysql_repository"]
    if not pool_fits(settings["mysql_innodb_buffer_pool_size"], half):
        problems.append(
            f"mysql_innodb_buffer_pool_size is {settings['mysql_innodb_buffer_pool_size']}: give it a number with K, M "
            f"or G, and less than {half}M, half of what {host} has for everything."
        )
    if settings["mysql_flavor"] != "mysql":
        return problems
    missing = [part for part in REPOSITORY if part not in repository]
    missing += ["key or signed_by"] * ("key" not in repository and "signed_by" not in repository)
    if repository and missing:
        problems.append(f"mysql_repository lacks {', '.join(missing)}: see its example in roles/mysql/vars/main.yml.")
    if not repository and distribution == "Debian":
        problems.append(
            "mysql_repository is empty, and Debian has no MySQL of its own: leave it as it is, or set mysql_flavor to "
            "mariadb."
        )
    return problems


def apt_policy(text: str) -> dict[str, str]:
    """Return a package's `installed` and `candidate` version, or (none), from the output of `apt-cache policy`."""
    found = {name: re.search(rf"{name}: (\S+)", text) for name in ("Installed", "Candidate")}
    return {name.lower(): match[1] if match else NONE for name, match in found.items()}


def mysql_pending(versions: Mapping[str, str], audit: str, flavor: str, package: str) -> list[str]:
    """Return a list with a line `OLD -> NEW` if an upgrade is pending or was interrupted; otherwise an empty list.

    versions: the result of apt_policy. audit: the output of `dpkg --audit`, which names unconfigured packages.
    An upgrade stays within a release series, except that of MySQL from 8.4 to 9.7.
    """
    before, after = versions["installed"], versions["candidate"]
    if package in audit:
        return [f"{flavor} {before}, which is not configured -> {after}"]
    series = [found[1] if (found := SERIES.match(version)) else version for version in (before, after)]
    stays = series[0] == series[1] or (flavor, *series) == ("mysql", "8.4", "9.7")
    if before in (after, NONE) or after == NONE or not stays:
        return []
    return [f"{flavor} {before} -> {after}"]


def apt_source(uri: str, suite: str) -> str:
    """Return an APT source as `apt-cache policy` prints it: host, path and suite, without scheme, user and port."""
    parts = urlsplit(uri)
    return f"{parts.hostname}{parts.path.removesuffix('/')} {suite}"


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return a mapping from the name of each filter to its function."""
        return {
            "apt_policy": apt_policy,
            "apt_source": apt_source,
            "mysql_pending": mysql_pending,
            "mysql_problems": mysql_problems,
        }
