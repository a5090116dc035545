"""Read the SQL statements of a request from the database's general log, and their execution plans from EXPLAIN."""

from __future__ import annotations

from typing import Any

from harness import Bench

ON = "SET GLOBAL log_output = 'TABLE'; TRUNCATE mysql.general_log; SET GLOBAL general_log = ON;"
OFF = "SET GLOBAL general_log = OFF; SET GLOBAL log_output = DEFAULT;"
# Statements contain line breaks, so HEX encodes each statement as one line.
READ = (
    "SELECT HEX(CONVERT(argument USING utf8mb4)) FROM mysql.general_log "
    "WHERE command_type = 'Query' AND user_host LIKE 'mlflow%' ORDER BY event_time;"
)
NOTED = ("Using filesort", "Using temporary", "Backward index scan")
WORTH = 300  # rows; plans that read fewer rows in total are left out


def explain(bench: Bench, asked: dict[str, list[Any]]) -> dict[str, list[str]]:
    """Return, for each request, the plans of its SELECTs that read at least WORTH rows."""
    door, found = bench.door(), {}
    for name, question in asked.items():
        bench.sql(ON)
        try:
            bench.client(
                {
                    "peers": {"": door | {"ask": question}},
                    "clients": 1,
                    "calls": 1,
                    "rounds": 1,
                    "batch": 0,
                    "warm_up": 0,
                }
            )
        finally:
            statements = [bytes.fromhex(line).decode() for line in bench.sql(OFF + READ).split()]
        bench.sql("TRUNCATE mysql.general_log")
        selects = [one for one in statements if one.lstrip().startswith(("SELECT", "(SELECT"))]
        found[name] = [line for one in selects if (line := plan(bench, one))]
    return found


def plan(bench: Bench, statement: str) -> str:
    """Return the plan as one line with the tables in join order; empty if the statement reads fewer than WORTH rows."""
    said = bench.ssh("mysql --user=root --batch mlflow", f"EXPLAIN FORMAT=TRADITIONAL {statement};")
    head, *rows = [line.split("\t") for line in said.splitlines()]
    steps = [dict(zip(head, row, strict=False)) for row in rows]
    if sum(int(step["rows"]) for step in steps if step["rows"].isdigit()) < WORTH:
        return ""
    words = []
    for step in steps:
        notes = [note.removeprefix("Using ") for note in NOTED if note in step["Extra"]]
        words.append(
            f"{step['table']}: {step['type']} {step['key']}, {step['rows']}" + "".join(f", {one}" for one in notes)
        )
    return " → ".join(words)
