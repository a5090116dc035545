"""Filters of the preflight: error messages about accounts, groups, files and servers that Trackbox did not create."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Seen = Mapping[str, Sequence[str]]

# A package of a database server, such as mysql-server-core-8.0 or percona-xtradb-cluster-server.
SERVER = re.compile(r"(mysql|mariadb|percona)(-[a-z]+)*-server(-core)?(-[0-9.]+)?")
TITLES = {"mysql": "MySQL", "mariadb": "MariaDB"}
# The comment field of accounts that Trackbox made, and the highest UID of a system account.
MARK, LAST_SYSTEM_ID = "Trackbox", 999


def installed(seen: Seen) -> bool:
    """Return whether Trackbox is installed on the machine, at least in part."""
    return any(path == "/var/lib/trackbox/before" or path.startswith("/opt/trackbox/uv/") for path in seen["path"])


def account_problems(seen: Seen, host: str, accounts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return an error message for each account or group that is named like one of Trackbox's, but that others made.

    Earlier versions did not mark all accounts. Such an account is accepted without the mark if it is a system account
    without a login shell, and if Trackbox is installed, or the account's home is the folder of the object store.

    seen: the result of tasks/look.yml. accounts: the entries of `accounts` that the roles declare in meta/wiring.yml.
    """
    homes = {account["name"]: account["home"] for account in accounts}
    # The accounts that may be unmarked, because an earlier version made them.
    earlier = {account["name"] for account in accounts if account.get("once_unmarked") and installed(seen)}
    problems, named = [], set()
    for name, uid, comment, home, shell in (line.split(":") for line in seen["account"]):
        if name not in homes:
            continue
        named.add(name)
        unused = int(uid) <= LAST_SYSTEM_ID and shell.endswith(("/nologin", "/false"))
        kept = home == homes[name] != "/nonexistent"
        # Accept an account that existed before Trackbox, and that an earlier version took over. uninstall.yml keeps it.
        taken_over = name in earlier and (home, shell) == (homes[name], "/usr/sbin/nologin")
        if comment != MARK and not (unused and (kept or name in earlier)) and not taken_over:
            problems.append(
                f"{host} has an account {name} that Trackbox did not make (number {uid}, home {home}, shell {shell}), "
                f"and a service needs the name: rename the account by usermod --login NEW {name}, and its group by "
                f"groupmod --new-name NEW {name}."
            )
    for name in homes:
        if name in seen["group"] and name not in named and name not in earlier:
            problems.append(
                f"{host} has a group {name} that Trackbox did not make, and a service needs the name: rename the group "
                f"by groupmod --new-name NEW {name}."
            )
    return problems


def group_problems(seen: Seen, host: str, groups: Iterable[str]) -> list[str]:
    """Return an error message for each of these groups that existed before Trackbox.

    Members of such a group could read the credentials of the training package.
    """
    return [
        f"{host} has a group {name} that Trackbox did not make, and its members would read the credentials of the "
        f"training package: rename the group by groupmod --new-name NEW {name}."
        for name in groups
        if name in seen["group"] and not installed(seen)
    ]


def foreign_path_problems(seen: Seen, host: str, files: Iterable[str] = ()) -> list[str]:
    """Return an error message if Trackbox would overwrite files that it did not create.

    Dumps of an earlier installation are accepted. files: the services' files outside of Trackbox's folders, such as
    units.
    """
    if installed(seen):
        return []
    found = [path for path in seen["own"] if not path.startswith("/var/lib/trackbox/d")]
    found += [path for path in (line.split(" -> ")[0] for line in seen["path"]) if path in files]
    return [
        f"{host} has {', '.join(found)}, which Trackbox did not make and would overwrite: move that away, or install "
        "on another machine."
    ] * bool(found)


def site_problems(seen: Seen, host: str) -> list[str]:
    """Return an error message if NGINX already serves other sites, because Trackbox replaces nginx.conf."""
    return [
        f"{host} has an NGINX with sites of its own ({', '.join(seen['site'])}), which would be served no longer: "
        "Trackbox replaces /etc/nginx/nginx.conf. Move the sites to another machine, or remove these files."
    ] * bool(seen["site"] and not installed(seen))


def database_problems(seen: Seen, host: str, flavor: str, socket: str) -> list[str]:
    """Return an error message if the machine has a database server of another flavor, or such a server's data.

    A server of the same flavor is accepted, and keeps its databases. flavor: the wanted one, `mysql` or `mariadb`.
    """
    servers = [name for name in seen["installed"] if SERVER.fullmatch(name)]
    others = [name for name in servers if not name.startswith(flavor)]
    remedy = {"mysql": "mysql_flavor: mariadb", "mariadb": "mysql_flavor: mysql"}[flavor]
    if others:
        percona = any(name.startswith("percona") for name in others)
        choice = "install on another machine" if percona else f"set {remedy}"
        return [
            f"{host} has the packages {', '.join(others)}, and mysql_flavor is {flavor}: {choice}, or remove that "
            f"server, if nobody needs it (apt purge {' '.join(others)}; then move /var/lib/mysql away)."
        ]
    if data := [name for name in seen["database"] if name != flavor]:
        return [
            f"{host} has data of {TITLES[data[0]]} in /var/lib/mysql, and mysql_flavor is {flavor}: set {remedy}, or "
            "move /var/lib/mysql away."
        ]
    if socket in seen["listens"] and not servers:
        return [
            f"{host} has a database server at {socket} that came with no package of a server: stop it and disable it, "
            "or give Trackbox another socket by trackbox_database_socket."
        ]
    return []


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return a mapping from the name of each filter to its function."""
        return {
            "account_problems": account_problems,
            "database_problems": database_problems,
            "foreign_path_problems": foreign_path_problems,
            "group_problems": group_problems,
            "site_problems": site_problems,
        }
