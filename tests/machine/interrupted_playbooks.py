"""Helpers for tests of interrupted playbooks: kill a playbook at a given point, and check the machine afterwards."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from machine import HOST, ROOT, Machine
from testinfra.host import Host

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/0/states"


def said(output: str) -> str:
    """Return a playbook's output on one line, without quotes."""
    return " ".join(output.replace("'", "").split())


def options(playbook: str, folder: Path) -> list[str]:
    """Return the options with which the tests run a playbook. folder: folder of another binary of MinIO."""
    given: dict[str, list[str]] = {
        "restore.yml": ["--extra-vars=restore_confirm=" + HOST],
        "rotate-secrets.yml": ["--extra-vars=rotate=mlflow_s3_secret"],
        "uninstall.yml": ["--check"],
    }
    if playbook == "upgrade.yml":
        # The same MinIO with a byte string added, so that its checksum differs and the upgrade replaces it.
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "trackbox/minio"
        binary = folder / "minio"
        if not binary.exists():
            shutil.copy(next(cache.glob("*/minio")), binary)
            with binary.open("ab") as file:
                file.write(secrets.token_bytes(8))
        return [
            "--extra-vars",
            json.dumps({"minio_source": "file", "minio_file": str(binary), "upgrade_backup": False}),
        ]
    return given.get(playbook, [])


def path_of(playbook: str) -> str:
    """Return the playbook's path, relative to ROOT."""
    return playbook if playbook == "site.yml" else f"playbooks/{playbook}"


def kill(
    machine: Machine,
    host: Host,
    playbook: str,
    given: list[str],
    when: str,
    by: int = signal.SIGKILL,
    gone: Path | None = None,
) -> None:
    """Run a playbook; send the signal `by` once the command `when` succeeds on the machine and `gone` is deleted.

    gone: a file on the controller.
    """
    command, environment = machine.ansible(path_of(playbook), *given)
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        ) as running,
    ):
        try:
            for _ in range(80):
                if not host.run("timeout 5 sh -c %s", f"until {when}; do sleep 0.05; done").rc or ended(running):
                    break
            while gone and gone.exists() and not ended(running):
                time.sleep(0.02)
            early = ended(running)
        finally:
            # Ansible's worker processes have their own sessions, so the signal must go to each process.
            for process in [running.pid, *descendants(running.pid)] if by == signal.SIGKILL else []:
                with suppress(ProcessLookupError):
                    os.kill(process, by)
            with suppress(ProcessLookupError):
                os.killpg(running.pid, by)
        output.seek(0)
        assert not early, f"{playbook} ended before it could be killed:\n{output.read()[-3000:]}"


def ended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether a process has ended."""
    return process.poll() is not None


def descendants(process: int) -> list[int]:
    """Return the process ids of all descendants of a process."""
    children = subprocess.run(
        ["pgrep", "--parent", str(process)], capture_output=True, text=True, check=False, timeout=10
    )
    found = [int(one) for one in children.stdout.split()]
    return found + [below for one in found for below in descendants(one)]


def check_intact(machine: Machine, folder: Path, work: bytes, *given: str) -> None:
    """Check that /healthz returns 200, the artifact equals `work`, an upload succeeds, and no promise is broken."""
    machine.wait_for_health(200, 120)
    admin = {"user": "admin", "password": machine.secret("admin_password")}
    assert machine.ask(f"{ARTIFACTS}/before.bin", **admin).body == work
    assert machine.ask(f"{ARTIFACTS}/after.bin", method="PUT", body="after", **admin).status == 200
    found = machine.promises(folder, *given)
    assert {name: one["detail"] for name, one in found.items() if one["state"] == "broken"} == {}
