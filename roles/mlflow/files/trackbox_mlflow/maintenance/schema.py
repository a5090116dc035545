"""Create MLflow's schema in an empty database, and refuse one of another version.

    python -m trackbox_mlflow.maintenance.schema PLAYBOOK URI REVISION OLDEST INDEXES

REVISION is the one that this environment's MLflow works with, OLDEST the first one whose upgrade is tested; INDEXES is
`add` or `drop`, for those of indexes.py. Prints `created`, `indexed` or `ready`, for upgrade.yml also `older`, and the
schema's collation. Importing MLflow takes seconds, so that it is imported only where the schema has to change.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import sqlalchemy

from trackbox_mlflow import patches
from trackbox_mlflow.maintenance import indexes
from trackbox_mlflow.maintenance.collation import CONVERTING

COLLATION = "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = DATABASE()"


def first_value(engine: sqlalchemy.Engine, query: str, table: str = "") -> str | None:
    """Return the query's first value, or None where there is no row, or no such table in this database."""
    if table and not sqlalchemy.inspect(engine).has_table(table):
        return None
    with engine.connect() as connection:
        return connection.scalar(sqlalchemy.text(query))


def history(revision: str) -> list[str]:
    """Return the revisions that lead to this one, itself first, as this environment's MLflow knows them."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    found = find_spec("mlflow")
    assert found
    assert found.origin
    config = Config()
    config.set_main_option("script_location", str(Path(found.origin).with_name("store") / "db_migrations"))
    return [step.revision for step in ScriptDirectory.from_config(config).iterate_revisions(revision, "base")]


def refuse(found: str | None, wanted: str, oldest: str, playbook: str) -> str:
    """Return why a schema with data in it is refused; empty where the upgrade may go on."""
    known = history(wanted)
    has = f"the database's schema has the revision {found}, and this MLflow works with {wanted}, so it was left alone:"
    if found is None:
        return (
            "the database's schema has no revision, so it is from before MLflow 1.0 or foreign, and was left alone: "
            "bring it up to MLflow 3.6.0 by that version's `mlflow db upgrade`, after a dump, and try again."
        )
    if found.startswith(CONVERTING):
        return (
            "the conversion of the schema's collation broke off, so the schema was left alone: type again the playbook "
            "that was at work, upgrade.yml or restore.yml, which loads the dump or the backup and converts it anew."
        )
    if found not in known:
        return (
            f"{has} a newer Trackbox or another program made it, and it cannot be downgraded. Use the Trackbox that "
            "made it, or restore a backup that this one made."
        )
    if oldest in known and known.index(found) > known.index(oldest):
        return (
            f"{has} it is older than MLflow 3.6.0's, {oldest}, from which upgrades are tested. Bring it up to that "
            "version by its own `mlflow db upgrade`, after a dump, and try again."
        )
    if playbook != "upgrade.yml":
        return f"{has} it is older. Type ansible-playbook playbooks/upgrade.yml, which dumps the database first."
    return ""


def create(engine: sqlalchemy.Engine, uri: str) -> None:
    """Create MLflow's tables in a database without any of its data."""
    # MySQL cannot roll DDL back: a creation that was interrupted left tables, on which another one would fail.
    left = sqlalchemy.MetaData()
    left.reflect(engine)
    left.drop_all(engine)
    if initialize := patches.CREATE_TABLES.get():
        initialize(engine)
    else:
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        SqlAlchemyStore(uri, "mlflow-artifacts:/")


def main(arguments: Sequence[str]) -> None:
    """Look at the schema, and create it where there is none."""
    playbook, uri, wanted, oldest, wish = arguments
    engine = sqlalchemy.create_engine(uri)
    found = first_value(engine, "SELECT version_num FROM alembic_version", "alembic_version")
    if found == wanted:
        indexed = playbook != "upgrade.yml" and indexes.apply(engine, wish == "add")
        print("indexed" if indexed else "ready", first_value(engine, COLLATION))
        return
    tables = ("experiments", "runs", "registered_models")
    if any(first_value(engine, f"SELECT 1 FROM {table} LIMIT 1", table) for table in tables):
        if problem := refuse(found, wanted, oldest, playbook):
            sys.exit(problem)
        print("older", first_value(engine, COLLATION))
        return
    if playbook == "upgrade.yml":
        sys.exit("the database has no experiments, so there is nothing to upgrade: run site.yml.")
    create(engine, uri)
    indexes.apply(engine, wish == "add")
    print("created", first_value(engine, COLLATION))


if __name__ == "__main__":
    main(sys.argv[1:])
