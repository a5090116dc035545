"""The database distinguishes similar names, and its foreign keys cascade renames and deletions as MLflow defines."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from machine import DUMP, ROOT, SERVER_PYTHON, SOCKET, SQL_CLIENT, Machine, run_inside
from testinfra.host import Host

COPY = "trackbox_test_copy"
COLLATION = ROOT / "roles/mlflow/files/trackbox_mlflow/maintenance/collation.py"
OLD = "utf8mb4_bin"
# Removes the collations of tables and columns from a dump, and the character set of the trigger on the table `secrets`.
WITHOUT_COLLATION = "sed -E 's/( DEFAULT)? (CHARACTER SET|CHARSET)[ =]utf8mb4//g; s/ COLLATE[ =]utf8mb4_[a-z0-9_]+//g'"


KINDS = [
    "tag of a run",
    "parameter",
    "metric",
    "experiment",
    "tag of an experiment",
    "registered model",
    "tag of a registered model",
    "tag of a model's version",
    "alias",
    "tag of a trace",
    "tag of a logged model",
    "input dataset",
    "tag of an evaluation dataset",
]


@pytest.fixture(scope="module")
def names(machine: Machine) -> dict[str, dict[str, Any]]:
    """Write values under similar names, for each kind of name; return the results by kind."""
    found: dict[str, dict[str, Any]] = {}
    for some in (KINDS[:4], KINDS[4:8], KINDS[8:]):
        found |= json.loads(machine.run_client("client_names.py", *some).splitlines()[-1])
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_similar_names_are_different_names(names: dict[str, dict[str, Any]], kind: str) -> None:
    found = names[kind]
    assert len(found["accepted"]) > 5
    assert found["read"] == found["accepted"]


@pytest.mark.parametrize("kind", KINDS)
def test_deleting_one_name_leaves_the_others(names: dict[str, dict[str, Any]], kind: str) -> None:
    found = names[kind]
    if found["after"] is None:
        pytest.skip("MLflow cannot delete it")
    deleted = next(iter(found["accepted"]))
    assert found["after"] == {name: value for name, value in found["accepted"].items() if name != deleted}


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_name_gets_a_readable_answer(names: dict[str, dict[str, Any]], kind: str) -> None:
    for name, (status, message) in names[kind]["refused"].items():
        assert status == 400, name
        assert "pymysql" not in message, name
        assert "already exists" not in message, name


def test_a_registered_model_keeps_its_versions_tags_and_aliases_after_two_renames(machine: Machine) -> None:
    said = json.loads(machine.run_client("client_rename.py").splitlines()[-1])
    first, *later = said["found"]
    assert first["tags"] == {"of": "the model", "of ": "another name"}
    assert first["versions"] == {number: {"a": number, "b": number} for number in ("1", "2", "3")}
    assert len(first["aliases"]) == 6
    assert later == [first, first]
    assert said["left"] == []


@pytest.fixture
def copy(host: Host) -> Iterator[str]:
    """Copy MLflow's schema without data and triggers, with the collation that Trackbox set before November 2026."""
    sed = f"sed -E 's/COLLATE([ =])utf8mb4_[a-z0-9_]+/COLLATE\\1{OLD}/g'"
    create = f"DROP DATABASE IF EXISTS {COPY}; CREATE DATABASE {COPY} CHARACTER SET utf8mb4 COLLATE {OLD}"
    try:
        host.check_output(f'{SQL_CLIENT} -e "{create}"')
        host.check_output(f"{DUMP} --no-data --skip-triggers mlflow | {sed} | {SQL_CLIENT} {COPY}")
        host.check_output(f"{SQL_CLIENT} {COPY} -e \"INSERT INTO alembic_version VALUES ('0123456789ab')\"")
        yield COPY
    finally:
        host.run(f'{SQL_CLIENT} -e "DROP DATABASE IF EXISTS {COPY}"')


def convert(host: Host, schema: str, collation: str) -> str:
    """Convert a schema as upgrade.yml and restore.yml do; return the output."""
    uri = f"mysql+pymysql://root@localhost/{schema}?unix_socket={SOCKET}"
    return run_inside(host, COLLATION, uri, collation)


@pytest.fixture
def collation(host: Host) -> str:
    """Return the collation of MLflow's schema."""
    query = "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = 'mlflow'"
    return str(host.check_output(f'{SQL_CLIENT} -N -e "{query}"'))


def cascades(host: Host, schema: str) -> dict[str, Any]:
    """Test every cascading foreign key of an empty schema; return the result."""
    found: dict[str, Any] = json.loads(run_inside(host, Path(__file__).with_name("inside_cascades.py"), SOCKET, schema))
    return found


def test_a_converted_schema_keeps_its_definitions_and_its_foreign_keys_work(
    host: Host, copy: str, collation: str
) -> None:
    read = f"{DUMP} --order-by-primary --no-data {copy} | {WITHOUT_COLLATION}"
    before = host.check_output(read)
    assert len(convert(host, copy, collation).split()) > 50
    after = host.check_output(read)
    assert sorted(line.strip(", ") for line in after.splitlines()) == sorted(
        line.strip(", ") for line in before.splitlines()
    )
    assert convert(host, copy, collation) == "ready"
    found = cascades(host, copy)
    assert found["cascading"] > 30
    assert found["tried"] > 30
    assert found["wrong"] == {}


def test_a_new_schema_and_a_converted_one_are_the_same(host: Host, copy: str, collation: str) -> None:
    convert(host, copy, collation)
    # MariaDB stores JSON as LONGTEXT with a CHECK constraint. The comparison ignores the collation of these columns,
    # because a conversion changes it.
    read = f"{DUMP} --no-data --skip-triggers"
    rules = ["s/ AUTO_INCREMENT=[0-9]+//", "s/CHARACTER SET utf8mb4 (COLLATE)/\\1/"]
    rules += ["/json_valid/s/COLLATE utf8mb4_[a-z0-9_]*bin //", "/^--/d"]
    own = f"sed -E '{'; '.join(rules)}'"
    [new, converted] = [
        sorted(line.strip(", ") for line in host.check_output(f"{read} {schema} | {own}").splitlines())
        for schema in ("mlflow", copy)
    ]
    assert new == converted


def test_an_interrupted_conversion_leaves_a_revision_that_no_mlflow_accepts(
    host: Host, copy: str, collation: str
) -> None:
    broken = (COLLATION).read_text().replace("ADD {line}", "ADD nonsense")
    uri = f"mysql+pymysql://root@localhost/{copy}?unix_socket={SOCKET}"
    assert host.run(f"{SERVER_PYTHON} -c {shlex.quote(broken)} {uri} {collation}").rc != 0
    assert host.check_output(f"{SQL_CLIENT} {copy} -N -e 'SELECT version_num FROM alembic_version'") == (
        "converting:0123456789ab"
    )
