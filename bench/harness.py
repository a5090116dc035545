"""Access to the measured installation, and a bare `mlflow server` on the same machine for comparison."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench/results"
sys.path.insert(0, str(ROOT / "tests/machine"))

from machine import Machine, find  # noqa: E402

# Paths on the machine: Python of the training package's environment, which runs the clients, and MLflow's programs.
CLIENT = "/opt/trackbox/training/fraud/environment/bin/python"
SERVER = "/opt/trackbox/mlflow/current/bin"
# A program that waits until a URL responds with success. The port of a server opens before the server can respond.
ANSWERS = """import sys, time, urllib.request
while True:
    try:
        urllib.request.urlopen(sys.argv[1], timeout=60).read()
        break
    except OSError:
        time.sleep(0.1)
"""
SQL = "mysql --user=root --batch --skip-column-names"


class RefusedError(Exception):
    """The measurement cannot start. The message gives the reason and a remedy."""


@dataclass(frozen=True)
class Bench:
    """An installation that is measured from inside the machine, as root over SSH."""

    machine: Machine

    def ssh(self, command: str, given: str = "", within: int = 600) -> str:
        """Run a command on the machine with `given` as standard input; return its output."""
        done = subprocess.run(
            ["ssh", "-F", str(ROOT / ".trackbox/ssh_config"), self.machine.name, command],
            input=given,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command[:200]}: {done.stderr[-2000:] or done.stdout[-2000:]}")
        return done.stdout

    def client(self, given: object, script: str = "client.py", within: int = 600) -> dict[str, Any]:
        """Run a script of bench/ on the machine, with `given` as JSON in standard input; return its output."""
        code = shlex.quote((ROOT / "bench" / script).read_text())
        found: dict[str, Any] = json.loads(self.ssh(f"{CLIENT} -c {code}", json.dumps(given), within))
        return found

    def ask(self, call: str, **body: object) -> Any:
        """Call MLflow's API through NGINX; return the response's JSON."""
        login = {key: value for key, value in self.door().items() if key in ("user", "password")}
        answer = self.machine.ask(f"/api/2.0/mlflow/{call}", method="POST", body=body, **login)
        if answer.status != 200:
            raise RuntimeError(f"{call}: {answer.status} {answer.body[:200]!r}")
        return json.loads(answer.body)

    def free_gb(self) -> int:
        """Return the smallest free space, in GB (10^9 bytes), among the disks that a measurement writes to."""
        free = self.ssh("df --output=avail -B1 /var/lib/minio /var/lib/mysql /var/tmp | tail -n +2")
        return min(map(int, free.split())) // 10**9

    def sql(self, statements: str, database: str = "") -> str:
        """Run SQL statements as the database's root user; return a line for each row, with tabs between the columns."""
        return self.ssh(f"{SQL} {database}", statements)

    def facts(self) -> dict[str, str]:
        """Return the date, the machine's hardware, and the versions of kernel, Debian and services."""
        asked = {
            "cpu": "nproc; sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1",
            "memory": "free -g | awk '/Mem/ {print $2 \" GB\"}'",
            "kernel": "uname -r",
            "system": ". /etc/os-release; echo $PRETTY_NAME",
            "mlflow": f"{SERVER}/python -c 'import importlib.metadata as m; print(m.version(\"mlflow\"))'",
            "database": "mysql --version | sed 's/.*Ver //'",
            "nginx": "nginx -v 2>&1 | sed 's/.*\\///'",
        }
        return {"day": time.strftime("%Y-%m-%d")} | {key: " ".join(self.ssh(ask).split()) for key, ask in asked.items()}

    @property
    def database(self) -> str:
        """Return the name of the database server's unit."""
        return self.ssh("systemctl is-active --quiet mariadb && echo mariadb || echo mysql").strip()

    def state(self) -> dict[str, str]:
        """Return the state that must not change: row counts, databases, number of objects, files and units."""
        tables = self.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'mlflow'").split()
        counts = " UNION ALL ".join(f"SELECT '{table}', COUNT(*) FROM `{table}`" for table in tables)
        found = dict(line.split("\t") for line in self.sql(counts + ";", "mlflow").splitlines())
        found["databases"] = self.sql("SHOW DATABASES")
        found["objects"] = self.ssh("find /var/lib/minio -path '*/.minio.sys' -prune -o -type f -print | wc -l")
        found["files"] = self.ssh("ls -d /tmp/bench* /run/bench* /var/lib/bench* /root/bench* 2>/dev/null || true")
        found["units"] = self.ssh("systemctl list-units --no-legend --plain --failed; systemctl list-units 'bench*'")
        return found

    def store(self, url: str = "http://127.0.0.1:9000") -> dict[str, str]:
        """Return MinIO as an entry of `stores` for client_store.py, with the access key of MLflow's server."""
        return {"url": url, "bucket": "mlflow", "key": "mlflow", "secret": self.machine.secret("mlflow_s3_secret")}

    def door(self) -> dict[str, str]:
        """Return NGINX as an entry of `peers` for client.py, with user and password."""
        m = self.machine
        password = m.settings["MLFLOW_TRACKING_PASSWORD"]
        authority = (m.secrets / "ca.crt").read_text()
        return {"url": m.url, "user": m.settings["MLFLOW_TRACKING_USERNAME"], "password": password, "ca": authority}

    @contextmanager
    def unit(self, name: str, command: str, *options: str) -> Iterator[None]:
        """Run a command in a transient unit; afterwards, stop the unit and, if it has one, its socket."""
        try:
            self.ssh(f"systemd-run --quiet --collect --unit={name} {' '.join(options)} {command}")
            yield
        finally:
            self.ssh(f"systemctl stop {name}.socket 2>/dev/null; systemctl stop {name} 2>/dev/null; true")

    @contextmanager
    def bare(self, loop: str = "--uvicorn-opts '--loop asyncio --http h11'") -> Iterator[dict[str, str]]:
        """Start a bare `mlflow server` with default settings, on loopback, without a password.

        It uses the installation's MySQL server, asyncio's event loop and h11, as after `pip install mlflow`. If `loop`
        is empty, it uses uvloop and httptools, because Trackbox installs these packages.
        """
        self.sql("DROP DATABASE IF EXISTS bench; CREATE DATABASE bench COLLATE utf8mb4_0900_bin")
        uri = "mysql+pymysql://root@localhost/bench?unix_socket=/run/mysqld/mysqld.sock"
        options = f"--backend-store-uri '{uri}' --artifacts-destination /run/bench --port 5099"
        environment = "--setenv=HOME=/run/bench --property=RuntimeDirectory=bench --working-directory=/run/bench"
        path = f"--setenv=PATH={SERVER}:/usr/bin:/bin"
        try:
            with self.unit("bench-mlflow", f"{SERVER}/mlflow server {options} {loop}", environment, path):
                self.ssh("timeout 180 python3 - http://127.0.0.1:5099/health", ANSWERS)
                yield {"url": "http://127.0.0.1:5099"}
        finally:
            self.sql("DROP DATABASE bench")

    @contextmanager
    def experiment(self) -> Iterator[str]:
        """Create an experiment in the installation; delete it with all its rows afterwards."""
        number = self.ask("experiments/create", name=f"bench-{time.time_ns()}")["experiment_id"]
        try:
            yield number
        finally:
            runs = f"(SELECT run_uuid FROM runs WHERE experiment_id = {number})"
            deletes = [
                f"DELETE FROM {table} WHERE run_uuid IN {runs};"
                for table in ("metrics", "latest_metrics", "params", "tags")
            ]
            deletes += [
                f"DELETE FROM {table} WHERE experiment_id = {number};"
                for table in ("runs", "experiment_tags", "experiments")
            ]
            self.sql("".join(deletes), "mlflow")


def alternate(calls: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Return each call's results, one for each round. Every second round runs the calls in reverse order."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds):
        for name in list(calls)[:: 1 if number % 2 else -1]:
            found[name].append(calls[name]())
    return found


def open_bench(inventory: Path) -> Bench:
    """Return the installation of an inventory; raises RefusedError if none is found or SSH does not respond."""
    env = inventory / ".secrets/env"
    if not env.is_file():
        raise RefusedError(
            f"{inventory} has no installation to measure, {env} is missing: make up, or name another inventory."
        )
    settings = json.loads(
        subprocess.run(
            [Path(sys.executable).with_name("ansible-inventory"), "-i", inventory, "--host", "trackbox"],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        ).stdout
    )
    bench = Bench(find(settings.get("local_vm_name", "trackbox"), inventory / ".secrets"))
    try:
        bench.ssh("true", within=20)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        why = " ".join(str(error).split())
        raise RefusedError(
            f"{bench.machine.name} does not answer by SSH, and is not measured: make up. ({why})"
        ) from error
    return bench
