"""Dumps the database in one transaction, without blocking writers, and loads a dump, also into scratch schemas."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Collection
from typing import IO

from trackbox_backup.refused import Inconclusive, Refused
from trackbox_backup.settings import Settings

# Select every schema except the server's own.
OWN = "('information_schema', 'performance_schema', 'mysql', 'sys')"
SCHEMAS = f"SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN {OWN}"
TABLES = (
    "SELECT CONCAT(table_schema, '.', table_name) FROM information_schema.tables "
    f"WHERE table_type = 'BASE TABLE' AND table_schema NOT IN {OWN}"
)
# Options of both mysqldump and mariadb-dump. The dump contains no date, so the same data gives the same bytes.
DUMP = ["--single-transaction", "--quick", "--routines", "--events", "--triggers", "--hex-blob", "--no-tablespaces"]
DUMP += ["--skip-dump-date", "--default-character-set=utf8mb4", "--add-drop-database"]
MYSQL = ["--set-gtid-purged=OFF", "--column-statistics=0"]

STRINGS = re.compile(rb"'[^'\\]*(?:\\.[^'\\]*)*'", re.DOTALL)
INSERT = re.compile(rb"INSERT INTO `([^`]+)` (?:\([^)]*\) )?VALUES")
USE = re.compile(rb"USE `([^`]+)`;")

# The size of all tables with their indexes, in bytes.
SIZE = (
    "SELECT COALESCE(SUM(data_length + index_length), 0) FROM information_schema.tables "
    f"WHERE table_schema NOT IN {OWN}"
)
# Keep a client's changes out of the server's log of changes, which would otherwise grow by the size of a dump.
UNLOGGED = "SET SESSION sql_log_bin = 0"
# The settings of a session that loads a part of a dump. A whole dump sets them itself.
LOADING = (
    f"{UNLOGGED}, time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO', unique_checks = 0, foreign_key_checks = 0"
)
# A description of each registered model version, and the URI of its artifacts.
MODELS = (
    "SELECT CONCAT('the version ', v.version, ' of the model ', v.name), "
    "COALESCE(m.artifact_location, v.storage_location, v.source) FROM `{0}`.model_versions v "
    "LEFT JOIN `{0}`.logged_models m ON m.model_id = SUBSTRING_INDEX(v.source, '/', -1) "
    "WHERE v.source <> 'dummy-source' AND v.current_stage <> 'Deleted_Internal'"
)
ALIASES = "SELECT name, alias, version FROM `{0}`.registered_model_aliases ORDER BY name, alias"
# While trackbox_mlflow.maintenance.collation converts the schema's collation, the schema's revision has this prefix. An
# interrupted conversion leaves the prefix in the database.
CONVERTING = "converting:"
REVISION = "SELECT version_num FROM `{0}`.alembic_version"
TABLES_OF_WORK = ("runs", "registered_models", "trace_info")
WORK = "SELECT " + " + ".join(f"(SELECT COUNT(*) FROM `{{0}}`.{name})" for name in TABLES_OF_WORK)


class Rows:
    """Counts the rows of each table while a dump is read or written, and computes the dump's size and SHA-256.

    digests: the SHA-256 of each table's rows. It does not depend on how many rows the dump has in a statement.
    """

    def __init__(self) -> None:
        """Start with no counts."""
        self.counts: Counter[str] = Counter()
        self.digest, self.size = hashlib.sha256(), 0
        self.digests: dict[str, hashlib._Hash] = {}
        self.schema = self.table = self.last = ""

    def line(self, line: bytes) -> None:
        """Count a line of the dump. Line breaks in strings are escaped, so a row never spans two lines."""
        self.digest.update(line)
        self.size += len(line)
        if line.strip():
            self.last = line[:40].decode(errors="replace")
        values = b""
        if found := USE.match(line):
            self.schema = found[1].decode()
        elif found := INSERT.match(line):
            self.table, values = f"{self.schema}.{found[1].decode()}", line[found.end() :]
        elif self.table and line.startswith(b"("):
            values = line  # mariadb-dump writes each row on a line of its own
        if self.table:
            self.counts[self.table] += STRINGS.sub(b"", values).count(b"(")
            if rows := values.strip(b" ,;\n"):
                self.digests.setdefault(self.table, hashlib.sha256()).update(rows + b",")
            if line.endswith(b";\n"):
                self.table = ""

    def checksum(self, name: str) -> str:
        """Return the SHA-256 of the rows of a table; empty if it has none. name: its schema and its own, with a dot."""
        return self.digests[name].hexdigest() if name in self.digests else ""


class Database:
    """The database server, reached through its Unix socket."""

    def __init__(self, settings: Settings) -> None:
        """Keep the settings."""
        self.settings = settings

    def query(self, sql: str, schema: str = "") -> list[list[str]]:
        """Return the rows of a query. schema: replaces {0}, by default MLflow's schema."""
        command = [self.settings.client, f"--socket={self.settings.socket}", "--batch", "--skip-column-names"]
        done = subprocess.run(
            command, input=sql.format(schema or self.settings.database), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Inconclusive(f"The database does not answer: {done.stderr.strip()}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def dump(self, out: IO[bytes], only: Collection[str] = ()) -> Rows:
        """Write a dump of every schema except the server's own; return its row counts and SHA-256.

        only: the schemas to dump, if these are not all.
        """
        schemas = sorted(only) or [name for [name] in self.query(SCHEMAS)]
        options = DUMP + (MYSQL if self.settings.flavor == "mysql" else [])
        command = [self.settings.dump, f"--socket={self.settings.socket}", *options, "--databases", *schemas]
        rows = Rows()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stderr
            try:
                for line in process.stdout:
                    rows.line(line)
                    out.write(line)
            except BaseException:
                process.kill()
                raise
            errors = process.stderr.read().decode(errors="replace")
        if process.returncode or not rows.last.startswith("-- Dump completed"):
            raise Refused(f"The dump of the database broke off: {errors.strip() or rows.last}")
        rows.counts.update({name: 0 for [name] in self.query(TABLES) if name.partition(".")[0] in schemas})
        return rows

    def load(self, dump: IO[bytes], change: Callable[[bytes], bytes] | None = None) -> Rows:
        """Load a dump, and replace every schema that it contains; return the dump's row counts and SHA-256.

        change: returns what the server gets instead of a line. Then the session has the settings LOADING.
        """
        rows = Rows()
        command = [
            self.settings.client,
            f"--socket={self.settings.socket}",
            "--default-character-set=utf8mb4",
            "--binary-mode",
            *([f"--init-command={LOADING}"] if change else []),
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdin
            assert process.stderr
            try:
                for line in dump:
                    rows.line(line)
                    process.stdin.write(change(line) if change else line)
                process.stdin.close()
            except BrokenPipeError:
                pass  # the client ended early; its error message is read below
            errors = process.stderr.read().decode(errors="replace")
        if process.returncode or not rows.last.startswith("-- Dump completed"):
            raise Refused(f"The database did not take the dump: {errors.strip() or rows.last}")
        return rows

    def counts(self, tables: list[str]) -> dict[str, int]:
        """Return the number of rows of each table."""
        if not tables:
            return {}
        parts = (f"SELECT '{table}', COUNT(*) FROM `{table.replace('.', '`.`')}`" for table in tables)
        return {name: int(count) for name, count in self.query(" UNION ALL ".join(parts))}

    def models(self, schema: str = "") -> dict[str, str]:
        """Return a description of each registered model version, by the version's folder in the artifact store.

        schema: as in `query`.
        """
        start = "mlflow-artifacts:/"
        found = ((what, uri) for what, uri in self.query(MODELS, schema) if uri.startswith(start))
        return {uri.removeprefix(start).strip("/") + "/": what for what, uri in found}
