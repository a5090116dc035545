"""Accounts, folders and servers of other people are refused with an error message, and Trackbox's own are accepted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from lifecycle import seen
from occupied import account_problems, database_problems, foreign_path_problems, group_problems, site_problems

LOOK, REMOVE = (Path(__file__).parents[2] / "roles/machine/files" / name for name in ("look", "remove"))
HOMES = {"minio": "/srv/objects", "mlflow": "/nonexistent", "mlflow-migrate": "/nonexistent"}
ACCOUNTS = [{"name": name, "home": home, "once_unmarked": True} for name, home in HOMES.items()]
INSTALLED = "path:/var/lib/trackbox/before"
SOCKET = "/run/mysqld/mysqld.sock"


def accounts(*lines: str) -> list[str]:
    return account_problems(seen("\n".join(lines)), "box", ACCOUNTS)


def removed(folder: Path, kind: str, account: str) -> str:
    """Return what the script `remove` would remove on a machine with this account, a line of /etc/passwd."""
    for tool, output in (("getent", account), ("id", account.split(":")[2])):
        (folder / tool).write_text(f"#!/bin/sh\necho '{output}'\n")
        (folder / tool).chmod(0o755)
    command = ["sh", str(REMOVE), "look", f"{kind}:{account.split(':', maxsplit=1)[0]}"]
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout


def database(flavor: str, *lines: str) -> list[str]:
    return database_problems(seen("\n".join(lines)), "box", flavor, SOCKET)


@pytest.mark.parametrize(
    "account",
    [
        "mlflow:1000:Mia:/home/mlflow:/bin/bash",
        "minio:998::/srv/objects:/bin/sh",
        "minio:1500::/srv/objects:/usr/sbin/nologin",
        # The account that Debian's `adduser --system mlflow` creates.
        "mlflow:101::/nonexistent:/usr/sbin/nologin",
        "mlflow-migrate:997::/opt/flow:/usr/sbin/nologin",
    ],
)
def test_an_account_of_somebody_else_is_refused(account: str) -> None:
    name, number, _, home, shell = account.split(":")
    [said] = accounts(f"account:{account}", f"group:{name}")
    assert said == (
        f"box has an account {name} that Trackbox did not make (number {number}, home {home}, shell {shell}), and a "
        f"service needs the name: rename the account by usermod --login NEW {name}, and its group by groupmod "
        f"--new-name NEW {name}."
    )


@pytest.mark.parametrize(
    "lines",
    [
        ["account:minio:998:Trackbox:/srv/objects:/usr/sbin/nologin", "group:minio"],
        # An earlier version of Trackbox was uninstalled. The objects and the account that owns them were kept.
        ["account:minio:998::/srv/objects:/usr/sbin/nologin", "group:minio"],
        # If an earlier version of Trackbox is installed, existing accounts are accepted, because that version used
        # them.
        [INSTALLED, "account:mlflow:998::/nonexistent:/usr/sbin/nologin"],
        ["path:/opt/trackbox/uv/16963d19594e", "account:minio:998::/var/lib/minio:/usr/sbin/nologin"],
        [INSTALLED, "account:minio:1500::/srv/objects:/usr/sbin/nologin"],
        ["account:ada:1000::/home/ada:/bin/bash"],
    ],
)
def test_an_account_of_its_own_is_taken(lines: list[str]) -> None:
    assert accounts(*lines) == []


def test_a_person_whose_name_a_variable_names_is_refused_on_an_installed_machine() -> None:
    look = seen(f"{INSTALLED}\naccount:ada:1000::/home/ada:/bin/bash")
    ada = {"name": "ada", "home": "/nonexistent", "once_unmarked": True}
    assert "an account ada that Trackbox did not make" in account_problems(look, "box", [ada])[0]


@pytest.mark.parametrize("name", ["serving", "serving-environments", "monitoring", "monitoring-mysql"])
def test_an_unmarked_account_or_group_is_refused_if_every_release_marked_it(name: str) -> None:
    declared = [{"name": name, "home": "/nonexistent"}]
    account = f"account:{name}:998:{{}}:/nonexistent:/usr/sbin/nologin"
    for lines in (account.format(""), f"group:{name}"):
        [said] = account_problems(seen(f"{INSTALLED}\n{lines}"), "box", declared)
        assert f" {name} that Trackbox did not make" in said
    assert account_problems(seen(f"{INSTALLED}\n{account.format('Trackbox')}\ngroup:{name}"), "box", declared) == []


# The user of the migrations has the name that the inventory gives it.
@pytest.mark.parametrize("name", ["minio", "mlflow", "mlflow-migrate", "migrator"])
def test_only_unmarked_accounts_that_an_earlier_release_made_are_removed(tmp_path: Path, name: str) -> None:
    assert removed(tmp_path, "old-user", f"{name}:x:998:998::/nonexistent:/usr/sbin/nologin") == f"user {name}\n"


@pytest.mark.parametrize("name", ["serving", "serving-environments", "monitoring", "monitoring-mysql"])
def test_an_unmarked_account_that_every_release_marked_is_kept(tmp_path: Path, name: str) -> None:
    assert removed(tmp_path, "user", f"{name}:x:998:998::/nonexistent:/usr/sbin/nologin") == ""
    assert removed(tmp_path, "user", f"{name}:x:998:998:Trackbox:/nonexistent:/usr/sbin/nologin") == f"user {name}\n"


def test_a_group_alone_is_refused() -> None:
    assert accounts("group:minio")[0].startswith("box has a group minio that Trackbox did not make")
    assert group_problems(seen("group:trackbox"), "box", ["trackbox"])[0].endswith("groupmod --new-name NEW trackbox.")
    assert group_problems(seen(f"group:trackbox\n{INSTALLED}"), "box", ["trackbox"]) == []


def test_folders_and_units_of_somebody_else_are_refused() -> None:
    lines = ["own:/opt/trackbox/theirs", "own:/var/lib/trackbox/dumps", "path:/etc/systemd/system/minio.service"]
    [said] = foreign_path_problems(seen("\n".join(lines)), "box", ["/etc/systemd/system/minio.service"])
    assert said.startswith("box has /opt/trackbox/theirs, /etc/systemd/system/minio.service, which Trackbox did not")
    assert foreign_path_problems(seen("\n".join([*lines, INSTALLED])), "box") == []
    assert foreign_path_problems(seen("own:/var/lib/trackbox/dumps"), "box") == []


def test_the_sites_of_an_nginx_are_named() -> None:
    [said] = site_problems(seen("site:/etc/nginx/conf.d/shop.conf"), "box")
    assert said.startswith("box has an NGINX with sites of its own (/etc/nginx/conf.d/shop.conf), which would be")


@pytest.mark.parametrize(
    ("flavor", "packages", "remedy"),
    [
        ("mysql", ["mariadb-server"], "set mysql_flavor: mariadb, or"),
        ("mysql", ["mariadb-server-core-10.6"], "set mysql_flavor: mariadb, or"),
        ("mariadb", ["mysql-server-8.0"], "set mysql_flavor: mysql, or"),
        ("mariadb", ["mysql-community-server"], "set mysql_flavor: mysql, or"),
        ("mysql", ["percona-server-server"], "install on another machine, or"),
        ("mariadb", ["percona-xtradb-cluster-server-5.7"], "install on another machine, or"),
    ],
)
def test_a_server_of_another_flavor_is_refused(flavor: str, packages: Sequence[str], remedy: str) -> None:
    [said] = database(flavor, *(f"installed:{name}:1" for name in packages))
    assert said.startswith(f"box has the packages {packages[0]}, and mysql_flavor is {flavor}: {remedy}")
    assert f"apt purge {packages[0]};" in said


def test_the_same_flavor_and_what_is_no_server_are_welcome() -> None:
    assert database("mysql", "installed:mysql-server-8.0:1", "database:mysql", f"listens:{SOCKET}") == []
    assert database("mysql", "installed:mariadb-common:1", "installed:libmariadb3:1", "installed:mysql-common:1") == []
    assert database("mariadb", "installed:mariadb-server:1", "installed:mysql-common:1", "database:mariadb") == []


def test_data_that_a_removed_server_left_is_refused() -> None:
    assert database("mysql", "database:mariadb")[0].startswith("box has data of MariaDB in /var/lib/mysql, and ")
    assert database("mariadb", "database:mysql")[0].endswith("set mysql_flavor: mysql, or move /var/lib/mysql away.")


def test_a_server_without_a_package_is_refused() -> None:
    assert database("mysql", f"listens:{SOCKET}")[0].startswith(f"box has a database server at {SOCKET} that came with")
    assert database("mysql", "listens:/srv/mysql/mysqld.sock") == []


def test_the_script_prints_what_the_filters_read() -> None:
    """Run the script `look` on this machine."""
    done = subprocess.run(["sh", "-s"], input=LOOK.read_text(), capture_output=True, text=True, timeout=60, check=True)
    [root] = [line.split(":") for line in seen(done.stdout)["account"] if line.startswith("root:")]
    assert (root[1], len(root)) == ("0", 5)
    assert any(line.startswith("root:/root:") for line in seen(done.stdout)["user"])
    assert "root" in seen(done.stdout)["group"]
