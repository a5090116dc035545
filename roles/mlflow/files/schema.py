"""Create MLflow's schema in an empty database, and refuse one of another version.

schema.py URI REVISION

Prints `created` or `ready`. Imports MLflow, which takes seconds, only where there is something to create.
"""

import sys

import sqlalchemy
from sqlalchemy.exc import DBAPIError


def first(engine: sqlalchemy.Engine, query: str) -> str | None:
    """Return the query's first value, or None where there is no row or no such table."""
    with engine.connect() as connection:
        try:
            return connection.scalar(sqlalchemy.text(query))
        except DBAPIError:
            return None


def main() -> None:
    """Look, and create."""
    uri, wanted = sys.argv[1:]
    engine = sqlalchemy.create_engine(uri)
    found = first(engine, "SELECT version_num FROM alembic_version")
    if found == wanted:
        print("ready")
        return
    if first(engine, "SELECT 1 FROM experiments LIMIT 1"):
        sys.exit(
            f"The database's schema has the revision {found}, and this MLflow works with {wanted}. Nothing was "
            "changed: an upgrade of a schema that holds experiments is not automatic."
        )
    # What an interrupted creation left behind: MySQL cannot roll DDL back, and a second try would fail on it.
    left = sqlalchemy.MetaData()
    left.reflect(engine)
    left.drop_all(engine)

    from mlflow.store.db.utils import _initialize_tables

    _initialize_tables(engine)
    print("created")


main()
