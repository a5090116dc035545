"""Maintenance of MLflow's database on SQLite: schema, collation and secrets. tests/machine tests it on MySQL."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asgi import empty_database
from sqlalchemy import create_engine, event, inspect
from trackbox_mlflow import patches
from trackbox_mlflow.maintenance import collation, schema

pytest.importorskip("mlflow")
from mlflow.store.tracking.dbmodels.models import SqlGatewaySecret
from mlflow.utils.crypto import KEKManager, _encrypt_secret, unwrap_dek
from sqlalchemy.orm import Session
from trackbox_mlflow.maintenance import rewrap

__all__ = ["empty_database"]

OLDEST = "bf29a5ff90ea"


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty SQLite database with the function and the table that MySQL's queries about collations need."""

    def connect(connection: Any, _: Any) -> None:
        connection.create_function("DATABASE", 0, lambda: "mlflow")
        connection.execute("ATTACH ':memory:' AS information_schema")
        connection.execute("CREATE TABLE information_schema.schemata (schema_name, default_collation_name)")
        connection.execute("INSERT INTO information_schema.schemata VALUES ('mlflow', 'utf8mb4_0900_bin')")
        connection.commit()

    def engine(address: str, **options: Any) -> Any:
        made = create_engine(address, **options)
        event.listen(made, "connect", connect)
        return made

    monkeypatch.setattr("sqlalchemy.create_engine", engine)
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture(scope="module")
def revision() -> str:
    """The newest schema revision of the locked MLflow, from the defaults of the role mlflow."""
    text = (Path(__file__).parents[2] / "roles/mlflow/defaults/main.yml").read_text()
    [line] = [line for line in text.splitlines() if line.startswith("mlflow_schema_revision: ")]
    return line.split()[1]


def say(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    schema.main(arguments)
    return capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize("gone", [False, True])
def test_a_schema_is_created_once_with_its_index(
    uri: str, revision: str, gone: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Simulate a creation that was interrupted after the first table.
    create_engine(uri).connect().exec_driver_sql("CREATE TABLE experiments (experiment_id INTEGER)")
    if gone:
        # A wrong name in the patch simulates an MLflow without the function. The function itself cannot be removed,
        # because MLflow's store calls it.
        monkeypatch.setattr(patches.CREATE_TABLES, "needs", ("mlflow.store.db.utils:_initialize_tables_of_old",))
    given = ("site.yml", uri, revision, OLDEST, "add")
    assert say(capsys, *given) == "created utf8mb4_0900_bin"
    engine = create_engine(uri)
    assert "trackbox_metrics_in_order" in {one["name"] for one in inspect(engine).get_indexes("latest_metrics")}
    assert say(capsys, *given) == "ready utf8mb4_0900_bin"
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX trackbox_metrics_in_order")
    assert say(capsys, "upgrade.yml", *given[1:]) == "ready utf8mb4_0900_bin"
    assert say(capsys, *given) == "indexed utf8mb4_0900_bin"


def test_another_schema_with_data_is_refused_with_a_remedy(
    uri: str, revision: str, empty_database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(empty_database, uri.removeprefix("sqlite:///"))
    engine = create_engine(uri)
    with pytest.raises(SystemExit, match="the database has no experiments, so there is nothing to upgrade"):
        say(capsys, "upgrade.yml", uri, "another", OLDEST, "add")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO experiments (experiment_id, name, lifecycle_stage, creation_time, last_update_time) "
            "VALUES (1, 'e', 'active', 1, 1)"
        )
    older = schema.history(revision)[1]
    for found, playbook, words in (
        (older, "site.yml", "it is older. Type ansible-playbook playbooks/upgrade.yml"),
        ("0123456789ab", "upgrade.yml", "a newer Trackbox or another program made it"),
        ("451aebb31d03", "upgrade.yml", "it is older than MLflow 3.6.0's"),
        (f"converting:{older}", "upgrade.yml", "the conversion of the schema's collation broke off"),
        (None, "upgrade.yml", "has no revision, so it is from before MLflow 1.0 or foreign"),
    ):
        with engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM alembic_version")
            if found:
                connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (found,))
        with pytest.raises(SystemExit) as refused:
            say(capsys, playbook, uri, revision, OLDEST, "add")
        assert words in str(refused.value)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (older,))
    assert say(capsys, "upgrade.yml", uri, revision, OLDEST, "add") == "older utf8mb4_0900_bin"


class MySQL:
    """A fake connection to a database with two tables and a foreign key, which records the statements of `convert`.

    breaks: `table` if the conversion of tables has no effect, `key` if the foreign key is not added again.
    """

    def __init__(self, breaks: str = "") -> None:
        self.breaks, self.ran, self.keys = breaks, list[str](), {"fk"}
        self.old = {"", "runs", "metrics"}

    def scalars(self, statement: Any, given: Any = None) -> Any:
        found = sorted(self.old) if given else ["metrics", "runs"]
        return iter(found) if given else SimpleNamespace(all=lambda: found)

    def execute(self, statement: Any) -> Any:
        line = "  CONSTRAINT `fk` FOREIGN KEY (`run_uuid`) REFERENCES `runs` (`run_uuid`)"
        has = self.keys and "`metrics`" in str(statement)
        return [("", f"CREATE TABLE x (\n  `run_uuid` varchar(32),\n{line if has else ''}\n)")]

    def exec_driver_sql(self, text: str) -> None:
        self.ran.append(text)
        if "DROP FOREIGN KEY" in text:
            self.keys.clear()
        elif " ADD CONSTRAINT `fk`" in text and self.breaks != "key":
            self.keys.add("fk")
        elif "CONVERT TO" in text and self.breaks != "table":
            self.old.discard(text.split("`")[1])
        elif text.startswith("ALTER DATABASE"):
            self.old.discard("")

    def commit(self) -> None:
        self.ran.append("commit")


def test_a_schema_is_converted_without_its_foreign_keys_and_marked_meanwhile() -> None:
    connection: Any = MySQL()
    assert collation.convert(connection, "utf8mb4_0900_bin") == {"runs", "metrics"}
    ran = [" ".join(text.split()[:3]) for text in connection.ran]
    assert ran[1:4] == ["UPDATE alembic_version SET", "commit", "ALTER TABLE `metrics`"]
    assert connection.ran[3].endswith("DROP FOREIGN KEY `fk`")
    assert connection.ran[-4].startswith("ALTER TABLE `metrics` ADD CONSTRAINT `fk`")
    assert "REPLACE(version_num, 'converting:'" in connection.ran[-2]
    assert collation.convert(connection, "utf8mb4_0900_bin") == set()


@pytest.mark.parametrize(
    ("breaks", "words"), [("table", "metrics, runs"), ("key", "foreign keys are not what they were")]
)
def test_a_conversion_that_changed_too_little_leaves_its_mark(breaks: str, words: str) -> None:
    connection: Any = MySQL(breaks)
    with pytest.raises(SystemExit, match=words):
        collation.convert(connection, "utf8mb4_0900_bin")
    assert not any("REPLACE(" in text for text in connection.ran)


def test_the_program_prints_what_it_converted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Engine:
        def connect(self) -> Any:
            return self

        def __enter__(self) -> MySQL:
            return connection

        def __exit__(self, *_: object) -> None:
            pass

    connection = MySQL()
    monkeypatch.setattr("sqlalchemy.create_engine", lambda _: Engine())
    collation.main("uri", "utf8mb4_0900_bin")
    collation.main("uri", "utf8mb4_0900_bin")
    assert capsys.readouterr().out.splitlines() == ["metrics runs", "ready"]


def test_secrets_are_read_with_the_new_passphrase_and_a_second_run_changes_nothing(
    empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    uri, old, new = f"sqlite:///{tmp_path}/mlflow.db", "o" * 32, "n" * 32
    with Session(create_engine(uri)) as session, session.begin():
        for number in range(2):
            made = _encrypt_secret({"key": "value"}, KEKManager(passphrase=old), f"s{number}", f"name{number}")
            session.add(
                SqlGatewaySecret(
                    secret_id=f"s{number}",
                    secret_name=f"name{number}",
                    encrypted_value=made.encrypted_value,
                    wrapped_dek=made.wrapped_dek,
                    masked_value="{}",
                    kek_version=1,
                    created_at=1,
                    last_updated_at=1,
                )
            )
    for changed in ("2", "0"):
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{old}\n{new}\n"))
        rewrap.main([uri])
        assert capsys.readouterr().out.split()[-1] == changed
    with Session(create_engine(uri)) as session:
        for secret in session.query(SqlGatewaySecret):
            assert unwrap_dek(secret.wrapped_dek, KEKManager(passphrase=new).get_kek())
