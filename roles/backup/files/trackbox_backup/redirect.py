"""Changes the lines of a dump so that its tables go into scratch schemas instead of their own."""

from __future__ import annotations

import re

from trackbox_backup.refused import Refused
from trackbox_backup.scratch import SCHEMA

# The statements that name a schema. The client gets no other one, so that no statement reaches a live schema.
NAMING = re.compile(rb"\s*(?:/\*M?!\d* *)?(USE|(?:CREATE|DROP|ALTER) (?:DATABASE|SCHEMA))\b[^`]*(?:`([^`]+)`)?", re.I)
# The parts of a dump that are kept: the structure and data of tables. Triggers, events, routines and views may name a
# live schema in their text, and an event would run.
KEPT = re.compile(rb"-- (Current Database: |Table structure for table |Dumping data for table |Dump completed)")
COMMENT = re.compile(rb"-- \w")
# The statements around the text of a trigger, event or routine.
PROGRAM = re.compile(rb"/\*!50003 |DELIMITER ")


class Redirect:
    """Names a scratch schema for each schema of a dump. schemas: the scratch schemas by the names in the dump."""

    def __init__(self) -> None:
        """Start with no schemas."""
        self.schemas: dict[str, str] = {}
        self.left_out = False

    def line(self, line: bytes) -> bytes:
        """Return what the database server gets instead of a line. Raises Refused if a schema was not created before."""
        # Comments before the first schema are the dump's header.
        if COMMENT.match(line) and (self.schemas or KEPT.match(line)):
            self.left_out = not KEPT.match(line)
        elif line.startswith(b"DELIMITER"):
            self.left_out = True
        if self.left_out or PROGRAM.match(line):
            return b""
        found = NAMING.match(line)
        if not found:
            return line
        statement, name = found[1].upper(), (found[2] or b"").decode()
        if statement.startswith(b"CREATE") and name:
            self.schemas.setdefault(name, f"{SCHEMA}{len(self.schemas) + 1}")
            return line[: found.start(2)] + self.schemas[name].encode() + line[found.end(2) :]
        if statement == b"USE":
            if name not in self.schemas:
                raise Refused(
                    f"The dump uses the schema {name or line.decode(errors='replace').strip()} before it creates it."
                )
            return f"USE `{self.schemas[name]}`;\n".encode()
        return b""
