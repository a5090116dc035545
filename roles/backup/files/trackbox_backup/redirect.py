"""Selects from a dump what creates and fills tables, and sends it into scratch schemas.

Any user who may write a routine, trigger, event or view determines lines of a dump, and the dump is loaded as the
server's administrator. So this module sends only statements whose form it knows: CREATE DATABASE, USE, CREATE TABLE and
INSERT with literal values, none of which names another schema. It drops all other lines.
"""

from __future__ import annotations

import re

from trackbox_backup.database import STRINGS
from trackbox_backup.refused import Refused
from trackbox_backup.scratch import SCHEMA

NAME = rb"`((?:[^`]|``)+)`"
CREATE_SCHEMA = re.compile(
    rb"CREATE DATABASE (?:/\*!32312 IF NOT EXISTS\*/ )?" + NAME +
    rb"((?: ?/\*!\d+ DEFAULT (?:CHARACTER SET \w+(?: COLLATE \w+)?|ENCRYPTION='[NY]') \*/)*);\s*"
)  # fmt: skip
# A line that begins like this changes the current schema, whatever follows.
USE = re.compile(rb"\s*(?:/\*M?!\d* *)?USE\b[^`]*(?:" + NAME + rb")?", re.I)
CREATE_TABLE = re.compile(rb"CREATE TABLE " + NAME + rb" \(\n")
IDENTIFIERS = re.compile(rb"`(?:[^`]|``)*`")
# Patterns that a table's definition must match (ENGINE), and must not match (OTHER_DATA), once the names between
# backticks are removed. A table of another schema is then "``.``".
ENGINE = re.compile(rb"\n\) ENGINE=(?:InnoDB|MyISAM|Aria|MEMORY)\b")
OTHER_DATA = re.compile(rb"``\s*\.|\b(?:SELECT|UNION|CONNECTION|DIRECTORY|nextval)\b|;(?!\s*\Z)", re.I)
INSERT = re.compile(rb"INSERT INTO " + NAME + rb" (?:\([^)]*\) )?VALUES")
# A pattern that literal values do not match, once strings are removed: words, names, comments, a `;` before the end.
NO_LITERAL = re.compile(rb"\b(?!(?:NULL|_binary|b)\b)[A-Za-z_]|[`@\"#/*\\]|--|;(?!\s*\Z)")


class Redirect:
    """Names a scratch schema for each schema of a dump. schemas: the scratch schemas by the names in the dump."""

    def __init__(self) -> None:
        """Start with no schemas."""
        self.schemas: dict[str, str] = {}
        self.table = b""
        self.inserts = False

    def line(self, line: bytes) -> bytes:
        """Return what the database server gets instead of a line. Raises Refused if a schema was not created before."""
        if self.table:
            self.table += line
            return self.definition() if line.endswith(b";\n") else b""
        insert = INSERT.match(line)
        if insert or self.inserts:  # mariadb-dump writes each row on a line of its own
            self.inserts = not line.endswith(b";\n")
            return literal(line, insert.end() if insert else 0)
        if found := CREATE_SCHEMA.fullmatch(line):
            scratch = self.schemas.setdefault(found[1].decode(), f"{SCHEMA}{len(self.schemas) + 1}")
            return b"CREATE DATABASE `%s`%s;\n" % (scratch.encode(), found[2])
        if CREATE_TABLE.fullmatch(line):
            self.table = line
        elif found := USE.match(line):
            name = (found[1] or b"").decode()
            if name not in self.schemas:
                raise Refused(
                    f"The dump uses the schema {name or line.decode(errors='replace').strip()} before it creates it."
                )
            return f"USE `{self.schemas[name]}`;\n".encode()
        return b""

    def definition(self) -> bytes:
        """Return the statement that creates a table; empty if the table would use data of another place."""
        statement, self.table = self.table, b""
        plain = IDENTIFIERS.sub(b"``", STRINGS.sub(b"''", statement))
        return statement if ENGINE.search(plain) and not OTHER_DATA.search(plain) else b""


def literal(line: bytes, start: int) -> bytes:
    """Return a line with the rows of an INSERT; empty if it has anything but literal values. start: their begin."""
    return b"" if NO_LITERAL.search(STRINGS.sub(b"''", line[start:])) else line
