"""The tracking server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from promises import Facts, promise
from tools import family, output

REVISION = """
import sys, sqlalchemy
with sqlalchemy.create_engine(sys.argv[1]).connect() as connection:
    print(connection.scalar(sqlalchemy.text("SELECT version_num FROM alembic_version")))
"""


@promise("mlflow")
def mlflow_schema(its: Facts) -> Iterator[str]:
    """MLflow's schema has the revision that this MLflow needs."""
    python = f"{its['environments'][0]['path']}/bin/python"
    found = output("runuser", f"--user={its['user']}", "--", python, "-c", REVISION, its["database"]).strip()
    if found != its["revision"]:
        yield f"it has {found}, wanted is {its['revision']}"


@promise("mlflow")
def mlflow_current(its: Facts) -> Iterator[str]:
    """MLflow runs from the configured Python environment."""
    found = str(Path(f"{its['home']}/current").resolve())
    if found != its["environments"][0]["path"]:
        yield f"{its['home']}/current leads to {found}"


@promise("mlflow")
def mlflow_no_jobs(its: Facts) -> Iterator[str]:
    """MLflow runs no process for its job queues."""
    for process in family(its["unit"]):
        command = Path(f"/proc/{process}/cmdline").read_bytes()
        if b"huey" in command:
            yield f"process {process} is one"


@promise("mlflow")
def mlflow_memory_limited(its: Facts) -> Iterator[str]:
    """MLflow's processes have the configured memory limit."""
    for process in family(its["unit"]):
        lines = Path(f"/proc/{process}/limits").read_text().splitlines()
        [limit] = [line.split()[3] for line in lines if line.startswith("Max data size ")]
        if limit != str(its["memory"]):
            yield f"process {process} may take {limit} bytes"
