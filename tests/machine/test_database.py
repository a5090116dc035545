"""The database: connections only by socket, accounts of system users without passwords, and only necessary rights."""

import re

import pytest
from testinfra.host import Host

READ = "SELECT count(*) FROM mlflow.experiments"


def sql(user: str, statement: str) -> str:
    """Return the shell command that runs a statement as a system user."""
    return f'runuser -u {user} -- mysql --user={user} --batch --skip-column-names -e "{statement}"'


def test_the_server_may_read_and_write(host: Host) -> None:
    assert int(host.check_output(sql("mlflow", READ))) >= 1


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mlflow.x (i INT)",
        "DROP TABLE mlflow.tags",
        "ALTER TABLE mlflow.tags ADD x INT",
        "SELECT user FROM mysql.user",
    ],
)
def test_the_server_may_not_do_more(host: Host, statement: str) -> None:
    done = host.run(sql("mlflow", statement))
    assert done.rc != 0
    assert "denied" in done.stderr


@pytest.mark.parametrize("user", ["nobody", "www-data", "minio"])
def test_no_other_system_user_can_connect(host: Host, user: str) -> None:
    for name in (user, "mlflow", "mlflow-migrate", "root"):
        done = host.run(f"runuser -u {user} -- mysql --user={name} -e 'SELECT 1'")
        assert done.rc != 0, f"{user} connected as {name}"


@pytest.mark.parametrize("user", ["root", "mlflow", "mlflow-migrate"])
def test_an_account_uses_the_socket_and_has_no_password(host: Host, user: str) -> None:
    account = host.check_output(sql("root", f"SHOW CREATE USER '{user}'@'localhost'"))
    assert "_socket" in account
    # MariaDB's root account has the invalid hash `invalid`, which matches no password.
    assert set(re.findall(r"(?:USING|AS) '([^']*)'", account)) <= {"invalid"}


def test_no_account_allows_a_remote_host(host: Host) -> None:
    assert set(host.check_output(sql("root", "SELECT host FROM mysql.user")).split()) == {"localhost"}


def test_the_schema_and_every_name_in_it_have_a_binary_collation_without_padding(host: Host) -> None:
    wanted = (
        "utf8mb4_nopad_bin" if "MariaDB" in host.check_output(sql("root", "SELECT VERSION()")) else "utf8mb4_0900_bin"
    )
    query = "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = 'mlflow'"
    assert host.check_output(sql("root", query)) == wanted
    query = (
        "SELECT DISTINCT collation_name FROM information_schema.columns "
        "WHERE table_schema = 'mlflow' AND data_type IN ('char', 'varchar')"
    )
    assert host.check_output(sql("root", query)) == wanted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("skip_networking", "1"),
        ("innodb_flush_log_at_trx_commit", "1"),
        ("innodb_doublewrite", "1"),
        ("performance_schema", "0"),
    ],
)
def test_a_setting_holds(host: Host, name: str, value: str) -> None:
    found = host.check_output(sql("root", f"SELECT @@{name}"))
    assert {"ON": "1"}.get(found, found) == value
