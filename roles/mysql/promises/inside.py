"""The promises (checks of verify.yml) about the database: no TCP port, no passwords, its settings and privileges."""

from __future__ import annotations

import re
from collections.abc import Iterator

from promises import Facts, Off, promise
from tools import output

# Accounts that the database servers create themselves.
OWN = {"root", "debian-sys-maint", "mysql.infoschema", "mysql.session", "mysql.sys", "mariadb.sys", "mysql"}
Grants = dict[str, set[str]]


def ask(its: Facts, statement: str) -> list[list[str]]:
    """Return the rows of a statement's result."""
    command = ["mysql", f"--socket={its['socket']}", "--batch", "--skip-column-names", "-e", statement]
    # Do not use splitlines(), because the salt of a hash can contain other characters that end a line.
    return [line.split("\t") for line in output(*command).split("\n") if line]


def settings(its: Facts, wanted: dict[str, str]) -> Iterator[str]:
    """Yield a message for each setting whose value in the server is not the wanted one, or that the server lacks."""
    names = ",".join(f"'{name}'" for name in wanted)
    found = dict(ask(its, f"SHOW GLOBAL VARIABLES WHERE variable_name IN ({names})"))
    for name, value in wanted.items():
        if found.get(name) != value:
            yield f"{name} is {found.get(name, 'unknown to the server')}"


@promise("mysql")
def mysql_no_tcp(its: Facts) -> Iterator[str]:
    """The database has no TCP port."""
    yield from settings(its, {"skip_networking": "ON"})
    # MariaDB has no X Protocol, and returns no row.
    if ask(its, "SELECT plugin_status FROM information_schema.plugins WHERE plugin_name = 'mysqlx'") == [["ACTIVE"]]:
        yield "the X Protocol is on"
    for line in output("ss", "-Hltnp").splitlines():
        if re.search(r'\("(mysqld|mariadbd)"', line):
            yield f"it waits at {line.split()[3]}"


@promise("mysql")
def mysql_durable(its: Facts) -> Iterator[str]:
    """The database writes each transaction to disk before it confirms it."""
    wanted = {"innodb_flush_log_at_trx_commit": "1", "sync_binlog": "1", "innodb_doublewrite": "ON"}
    yield from settings(its, wanted)


@promise("mysql")
def mysql_accounts(its: Facts) -> Iterator[str]:
    """The database has only the configured accounts and its own."""
    found = [(user, host) for user, host in ask(its, "SELECT user, host FROM mysql.user")]
    wanted = {user["name"] for user in its["users"]}
    yield from (f"{user or 'anybody'}@{host} has an account" for user, host in found if user not in wanted | OWN)
    yield from (f"{user} may come from {host}" for user, host in found if user in wanted | OWN and host != "localhost")
    yield from (f"{user} is missing" for user in sorted(wanted - {user for user, _ in found}))


@promise("mysql")
def mysql_no_password(its: Facts) -> Iterator[str]:
    """The database accepts no password: it identifies the system user by the socket."""
    for user, host in ask(its, "SELECT user, host FROM mysql.user"):
        [[account]] = ask(its, f"SHOW CREATE USER '{user}'@'{host}'")
        # Ignore `invalid`, which is no hash of a password, and `root`, which names the system user for `auth_socket`.
        kept = set(re.findall(r"(?:USING|AS) '([^']*)'", account)) - {"invalid"} - ({"root"} if user in OWN else set())
        if "ACCOUNT LOCK" not in account and ("_socket" not in account or kept):
            yield f"{user}@{host} can log in without the socket"


def granted(lines: list[str]) -> Grants:
    """Return the privileges in lines of SHOW GRANTS, by `schema.table`. Other lines are under the empty key."""
    found: Grants = {}
    for line in lines:
        match = re.match(r"GRANT (.+) ON (\S+) TO (.*)", line)
        if match is None:
            found.setdefault("", set()).add(line)
            continue
        rights = {re.sub(r"\s*\(.*\)", "", right).strip().upper() for right in re.split(r",(?![^(]*\))", match[1])}
        rights |= {"GRANT OPTION"} if "WITH GRANT OPTION" in match[3] else set()
        if rights != {"USAGE"}:
            found.setdefault(re.sub(r"[`\\]", "", match[2]), set()).update(rights)
    return found


def wished(privileges: str) -> Grants:
    """Return the privileges in a string of Ansible's mysql_user: `schema.table:RIGHT,RIGHT/schema.table:…`."""
    parts = (part.rpartition(":") for part in privileges.split("/"))
    # Leave out USAGE, because it grants no right.
    found = {scope.strip("`"): {right.strip().upper() for right in rights.split(",")} for scope, _, rights in parts}
    return {scope: rights - {"USAGE"} for scope, rights in found.items()}


@promise("mysql")
def mysql_grants(its: Facts) -> Iterator[str]:
    """The database's users have exactly the configured rights."""
    for user in its["users"]:
        found = granted([row[0] for row in ask(its, f"SHOW GRANTS FOR '{user['name']}'@'localhost'")])
        wanted = wished(user["privileges"])
        for scope in sorted(wanted.keys() | found.keys()):
            more, less = (
                found.get(scope, set()) - wanted.get(scope, set()),
                wanted.get(scope, set()) - found.get(scope, set()),
            )
            yield from (f"{user['name']} has {right} on {scope}" for right in sorted(more))
            yield from (f"{user['name']} lacks {right} on {scope}" for right in sorted(less))


@promise("mysql")
def mysql_collation(its: Facts) -> Iterator[str]:
    """The database distinguishes names that differ in case, an accent or a trailing space."""
    wanted = its["collation"]
    schemas = dict(ask(its, "SELECT schema_name, default_collation_name FROM information_schema.schemata"))
    for name in its["databases"]:
        if schemas.get(name) != wanted:
            yield f"{name} has {schemas.get(name, 'no schema')}"
            continue
        # Check only CHAR and VARCHAR, because keys are VARCHAR. MariaDB's JSON columns always have utf8mb4_bin.
        columns = (
            "SELECT table_name, column_name, collation_name FROM information_schema.columns "
            f"WHERE table_schema = '{name}' AND data_type IN ('char', 'varchar') AND collation_name <> '{wanted}'"
        )
        yield from (f"{name}.{table}.{column} has {found}" for table, column, found in ask(its, columns))


@promise("mysql")
def mysql_cascades(its: Facts) -> Iterator[str]:
    """The database follows foreign keys over two levels, so a registered model with two versions can be renamed."""
    # MySQL before 9.6 and MariaDB always follow such foreign keys, and do not have this variable.
    for name, value in ask(its, "SHOW GLOBAL VARIABLES LIKE 'innodb_native_foreign_keys'"):
        if value != "ON":
            yield f"{name} is {value}"


@promise("mysql")
def mysql_source_pinned(its: Facts) -> Iterator[str]:
    """The database's package source is used for no other package."""
    if not its["source"]:
        raise Off("the database comes from the distribution")
    [first, *_] = re.findall(r"^ *(-?\d+) (?=.*" + re.escape(its["source"]) + ")", output("apt-cache", "policy"), re.M)
    if int(first) > 100:
        yield f"its priority is {first}, and so it may replace any package"
