"""Convert MLflow's schema to another collation, while MLflow is stopped and after a dump.

    python -m trackbox_mlflow.maintenance.collation URI COLLATION

Prints `ready` if the schema already has the collation, else the tables that were converted. MySQL and MariaDB refuse to
convert a column that a foreign key uses (error 3780 or 1833), MariaDB even with foreign_key_checks=0. So all foreign
keys are dropped first, and added again as SHOW CREATE TABLE printed them. During the conversion the schema has a
revision that MLflow does not know, so MLflow does not start on a half-converted schema after a crash. upgrade.yml and
restore.yml then load the dump or the backup again.
"""

from __future__ import annotations

import re
import sys

import sqlalchemy
from sqlalchemy import Connection, text

CONVERTING = "converting:"
# Finds the foreign keys in SHOW CREATE TABLE: the whole constraint, and its name.
FOREIGN_KEY = re.compile(r"^ *(CONSTRAINT `([^`]+)` FOREIGN KEY .+?),?$", re.MULTILINE)
TABLES = (
    "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'"
)
# Finds tables and columns with another collation. Only CHAR and VARCHAR columns are checked, because keys are VARCHAR.
# MariaDB stores JSON as LONGTEXT, whose collation is always utf8mb4_bin.
DIFFERING = """
    SELECT '' FROM information_schema.schemata WHERE schema_name = DATABASE() AND default_collation_name <> :wanted
    UNION SELECT table_name FROM information_schema.tables
    WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND table_collation <> :wanted
    UNION SELECT table_name FROM information_schema.columns
    WHERE table_schema = DATABASE() AND data_type IN ('char', 'varchar') AND collation_name <> :wanted
"""


def differing_tables(connection: Connection, collation: str) -> set[str]:
    """Return the tables that have, or contain a column with, another collation; '' stands for the schema's default."""
    return {str(name) for name in connection.scalars(text(DIFFERING), {"wanted": collation})}


def foreign_keys(connection: Connection) -> dict[tuple[str, str], str]:
    """Return the SQL of each foreign key, as in SHOW CREATE TABLE, by its table and name."""
    found: dict[tuple[str, str], str] = {}
    for table in connection.scalars(text(TABLES)).all():
        [created] = [row[1] for row in connection.execute(text(f"SHOW CREATE TABLE `{table}`"))]
        found |= {(table, name): line for line, name in FOREIGN_KEY.findall(created)}
    return found


def convert(connection: Connection, collation: str) -> set[str]:
    """Convert every table that has another collation, then the schema; return the tables."""
    run = connection.exec_driver_sql
    if not (tables := differing_tables(connection, collation)):
        return set()
    keys = foreign_keys(connection)
    run("SET SESSION foreign_key_checks = 0")
    run(f"UPDATE alembic_version SET version_num = CONCAT('{CONVERTING}', version_num)")
    connection.commit()
    for table, name in keys:
        run(f"ALTER TABLE `{table}` DROP FOREIGN KEY `{name}`")
    for table in sorted(tables - {""}):
        run(f"ALTER TABLE `{table}` CONVERT TO CHARACTER SET utf8mb4 COLLATE {collation}")
    for (table, _), line in keys.items():
        run(f"ALTER TABLE `{table}` ADD {line}")
    run(f"ALTER DATABASE CHARACTER SET utf8mb4 COLLATE {collation}")
    if (left := differing_tables(connection, collation)) or foreign_keys(connection) != keys:
        problem = ", ".join(sorted(left)) or "its foreign keys are not what they were"
        sys.exit(f"the schema was not converted to {collation}: {problem}")
    run(f"UPDATE alembic_version SET version_num = REPLACE(version_num, '{CONVERTING}', '')")
    connection.commit()
    return tables - {""}


def main(uri: str, collation: str) -> None:
    """Convert the schema, and print which tables were converted."""
    with sqlalchemy.create_engine(uri).connect() as connection:
        print(*sorted(convert(connection, collation)) or ["ready"])


if __name__ == "__main__":
    main(*sys.argv[1:])
