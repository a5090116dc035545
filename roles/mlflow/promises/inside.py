"""The promises (checks of verify.yml) about MLflow: its schema, environment, memory limit and the UI's files."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Iterator
from pathlib import Path

from promises import Facts, Off, promise
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
def mlflow_indexes(its: Facts) -> Iterator[str]:
    """MLflow's tables have the indexes by which its searches find the first pages."""
    if not its["indexes"]:
        raise Off("mlflow_search_indexes is off")
    python = f"{its['environments'][0]['path']}/bin/python"
    command = ["env", f"PYTHONPATH={its['program']}", python, "-m", "trackbox_mlflow.maintenance.indexes"]
    found = output("runuser", f"--user={its['user']}", "--", *command, "missing", its["database"]).split()
    yield from (f"{name} is missing" for name in found if name != "ready")


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


def unpacked(path: Path) -> bytes:
    """Return the decompressed content of a file with the suffix .gz or .br."""
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    command = ["brotli", "--decompress", "--stdout", str(path)]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout


@promise("mlflow")
def mlflow_static_files(its: Facts) -> Iterator[str]:
    """NGINX's copy of the UI's files, in each compressed form, is what MLflow's package brought."""
    [build] = Path(its["environments"][0]["path"]).glob("lib/python3*/site-packages/mlflow/server/js/build")
    copy = Path(its["static_files"])
    forms = {path: [path.with_name(path.name + suffix) for suffix in its["forms"]] for path in copy.rglob("*")}
    known = {path for each in forms.values() for path in each}
    found = {path for path in forms if path.is_file()}
    wanted = {copy / path.relative_to(build): path for path in build.rglob("*") if path.is_file()}
    yield from (f"{path} is missing" for path in sorted(wanted.keys() - found))
    yield from (f"{path} belongs to no file of MLflow's" for path in sorted(found - wanted.keys() - known))
    for path in sorted(found & wanted.keys()):
        if not path.samefile(wanted[path]) and path.read_bytes() != wanted[path].read_bytes():
            yield f"{path} is another"
        yield from (
            f"{form} is another" for form in forms[path] if form in found and unpacked(form) != path.read_bytes()
        )
