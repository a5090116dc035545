"""Create MLflow's schema in an empty database, and refuse one of another version.

schema.py PLAYBOOK URI REVISION OLDEST

REVISION is the one that this environment's MLflow works with, OLDEST the first one whose upgrade is tested. Prints
`created`, `indexed` or `ready`, for upgrade.yml also `older`, and the schema's collation. Imports MLflow, for seconds,
only where it has work.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import sqlalchemy
from sqlalchemy.exc import ProgrammingError

NO_SUCH_TABLE = 1146
COLLATION = "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = DATABASE()"


def first(engine: sqlalchemy.Engine, query: str) -> str | None:
    """Return the query's first value, or None where there is no row or no such table."""
    with engine.connect() as connection:
        try:
            return connection.scalar(sqlalchemy.text(query))
        except ProgrammingError as error:
            if error.orig is None or error.orig.args[0] != NO_SUCH_TABLE:
                raise
            return None


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


def judge(found: str | None, wanted: str, oldest: str, playbook: str) -> str:
    """Return why a schema with data in it is refused, or nothing where the upgrade may go on."""
    known = history(wanted)
    has = f"the database's schema has the revision {found}, and this MLflow works with {wanted}, so it was left alone:"
    if found is None:
        return (
            "the database's schema has no revision, so it is from before MLflow 1.0 or foreign, and was left alone: "
            "bring it up to MLflow 3.6.0 by that version's `mlflow db upgrade`, after a dump, and try again."
        )
    if found.startswith("converting:"):
        return (
            "the conversion of the schema's collation broke off, so the schema was left alone: type again the playbook "
            "that was at work, upgrade.yml or restore.yml, which loads the dump or the backup and converts it anew."
        )
    if found not in known:
        return (
            f"{has} it is of a newer Trackbox, or foreign, and there is no way back from it. Use the Trackbox that "
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


def index(engine: sqlalchemy.Engine) -> bool:
    """Add the index that shortcuts.py lives on; return whether it was missing. Writers go on meanwhile."""
    name = "trackbox_metrics_in_order"
    table = sqlalchemy.Table("latest_metrics", sqlalchemy.MetaData(), autoload_with=engine)
    if name in {one.name for one in table.indexes}:
        return False
    sqlalchemy.Index(name, table.c.key, table.c.is_nan, table.c.value).create(engine)
    return True


def main() -> None:
    """Look, and create."""
    playbook, uri, wanted, oldest = sys.argv[1:]
    engine = sqlalchemy.create_engine(uri)
    found = first(engine, "SELECT version_num FROM alembic_version")
    if found == wanted:
        print("indexed" if playbook != "upgrade.yml" and index(engine) else "ready", first(engine, COLLATION))
        return
    if any(first(engine, f"SELECT 1 FROM {table} LIMIT 1") for table in ("experiments", "runs", "registered_models")):
        if problem := judge(found, wanted, oldest, playbook):
            sys.exit(problem)
        print("older", first(engine, COLLATION))
        return
    if playbook == "upgrade.yml":
        sys.exit("the database has no experiments, so there is nothing to upgrade: run site.yml.")
    # What an interrupted creation left behind: MySQL cannot roll DDL back, and a second try would fail on it.
    left = sqlalchemy.MetaData()
    left.reflect(engine)
    left.drop_all(engine)

    from mlflow.store.db.utils import _initialize_tables

    _initialize_tables(engine)
    index(engine)
    print("created", first(engine, COLLATION))


main()
