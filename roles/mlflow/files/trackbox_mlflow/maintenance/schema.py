"""Create MLflow's schema in an empty database, or check the revision of an existing schema.

    python -m trackbox_mlflow.maintenance.schema PLAYBOOK URI REVISION OLDEST INDEXES

REVISION is the schema's revision that this environment's MLflow needs. OLDEST is the oldest revision from which
upgrades are tested. INDEXES is `add` or `drop`, for the indexes of indexes.py. Prints `created`, `indexed` or `ready`,
for upgrade.yml also `older`, and then the schema's collation. MLflow is imported only to create the schema, because the
import takes seconds.
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
    """Return the query's first value; None if there is no row, or if the database does not have the table."""
    if table and not sqlalchemy.inspect(engine).has_table(table):
        return None
    with engine.connect() as connection:
        return connection.scalar(sqlalchemy.text(query))


def history(revision: str) -> list[str]:
    """Return this revision and all earlier ones, the newest first, from the migrations of this environment's MLflow."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    found = find_spec("mlflow")
    assert found
    assert found.origin
    config = Config()
    config.set_main_option("script_location", str(Path(found.origin).with_name("store") / "db_migrations"))
    return [step.revision for step in ScriptDirectory.from_config(config).iterate_revisions(revision, "base")]


def refuse(found: str | None, wanted: str, oldest: str, playbook: str) -> str:
    """Return an error message if a schema that contains data is refused; empty if the upgrade may continue."""
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
    """Create MLflow's tables in a database that contains no data of MLflow."""
    # An earlier call may have been interrupted. MySQL cannot roll back CREATE TABLE, so some tables exist then, and
    # creating them again would fail. So drop them first.
    left = sqlalchemy.MetaData()
    left.reflect(engine)
    left.drop_all(engine)
    if initialize := patches.CREATE_TABLES.get():
        initialize(engine)
    else:
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        SqlAlchemyStore(uri, "mlflow-artifacts:/")


def main(arguments: Sequence[str]) -> None:
    """Check the schema, or create it if the database has none."""
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
