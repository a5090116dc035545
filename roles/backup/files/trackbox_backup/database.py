"""The database: dumped as it is at one moment, without a lock for those who write, and read back."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections import Counter
from typing import IO

from trackbox_backup.refused import Refused
from trackbox_backup.settings import Settings

# Every schema but the server's own.
OWN = "('information_schema', 'performance_schema', 'mysql', 'sys')"
SCHEMAS = f"SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN {OWN}"
TABLES = (
    "SELECT CONCAT(table_schema, '.', table_name) FROM information_schema.tables "
    f"WHERE table_type = 'BASE TABLE' AND table_schema NOT IN {OWN}"
)
# Both of mysqldump and mariadb-dump. Without the date the same data gives the same bytes.
DUMP = ["--single-transaction", "--quick", "--routines", "--events", "--triggers", "--hex-blob", "--no-tablespaces"]
DUMP += ["--skip-dump-date", "--default-character-set=utf8mb4", "--add-drop-database"]
MYSQL = ["--set-gtid-purged=OFF", "--column-statistics=0"]

STRINGS = re.compile(rb"'[^'\\]*(?:\\.[^'\\]*)*'", re.DOTALL)
INSERT = re.compile(rb"INSERT INTO `([^`]+)` (?:\([^)]*\) )?VALUES")
USE = re.compile(rb"USE `([^`]+)`;")

# What artifacts the registry and MLflow's models name, by the folder in the artifact store.
MODELS = (
    "SELECT CONCAT('the version ', v.version, ' of the model ', v.name), "
    "COALESCE(m.artifact_location, v.storage_location, v.source) FROM `{0}`.model_versions v "
    "LEFT JOIN `{0}`.logged_models m ON m.model_id = SUBSTRING_INDEX(v.source, '/', -1) "
    "WHERE v.source <> 'dummy-source' AND v.current_stage <> 'Deleted_Internal'"
)
ALIASES = "SELECT name, alias, version FROM `{0}`.registered_model_aliases ORDER BY name, alias"
# Stands before the revision while trackbox_mlflow.maintenance.collation is at work, and stays there where it broke off.
CONVERTING = "converting:"
REVISION = "SELECT version_num FROM `{0}`.alembic_version"
TABLES_OF_WORK = ("runs", "registered_models", "trace_info")
WORK = "SELECT " + " + ".join(f"(SELECT COUNT(*) FROM `{{0}}`.{name})" for name in TABLES_OF_WORK)


class Rows:
    """Counts the rows of each table while a dump goes by, and its bytes."""

    def __init__(self) -> None:
        """Begin before the first line."""
        self.counts: Counter[str] = Counter()
        self.digest, self.size = hashlib.sha256(), 0
        self.schema = self.table = self.last = ""

    def line(self, line: bytes) -> None:
        """Take a line. A string's line breaks are escaped, so that a row never goes on in the next one."""
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
            values = line  # MariaDB puts every row on a line
        if self.table:
            self.counts[self.table] += STRINGS.sub(b"", values).count(b"(")
            if line.endswith(b";\n"):
                self.table = ""


class Database:
    """The server behind the socket."""

    def __init__(self, settings: Settings) -> None:
        """Prepare."""
        self.settings = settings

    def query(self, sql: str) -> list[list[str]]:
        """Return the rows of a query."""
        command = [self.settings.client, f"--socket={self.settings.socket}", "--batch", "--skip-column-names"]
        done = subprocess.run(
            command, input=sql.format(self.settings.database), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Refused(f"The database does not answer: {done.stderr.strip()}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def dump(self, out: IO[bytes]) -> Rows:
        """Write a dump of every schema; return what was in it."""
        schemas = [name for [name] in self.query(SCHEMAS)]
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
        rows.counts.update({name: 0 for [name] in self.query(TABLES)})
        return rows

    def load(self, dump: IO[bytes]) -> Rows:
        """Replace every schema of a dump by what it says."""
        rows = Rows()
        command = [
            self.settings.client,
            f"--socket={self.settings.socket}",
            "--default-character-set=utf8mb4",
            "--binary-mode",
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdin
            assert process.stderr
            try:
                for line in dump:
                    rows.line(line)
                    process.stdin.write(line)
                process.stdin.close()
            except BrokenPipeError:
                pass  # it says why
            errors = process.stderr.read().decode(errors="replace")
        if process.returncode or not rows.last.startswith("-- Dump completed"):
            raise Refused(f"The database did not take the dump: {errors.strip() or rows.last}")
        return rows

    def counts(self, tables: list[str]) -> dict[str, int]:
        """Return how many rows the tables have."""
        if not tables:
            return {}
        parts = (f"SELECT '{table}', COUNT(*) FROM `{table.replace('.', '`.`')}`" for table in tables)
        return {name: int(count) for name, count in self.query(" UNION ALL ".join(parts))}

    def models(self) -> dict[str, str]:
        """Return the registered models' versions by their folder in the artifact store."""
        start = "mlflow-artifacts:/"
        found = ((what, uri) for what, uri in self.query(MODELS) if uri.startswith(start))
        return {uri.removeprefix(start).strip("/") + "/": what for what, uri in found}
