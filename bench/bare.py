"""A bare local VM for the bench: Debian with only SSH and Python, created anew for each installation."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness import ROOT, Bench
from machine import Machine, find

ADDRESS = "10.83.254.2"


class Bare:
    """A bare local VM and its inventory. The VM is created anew for each installation."""

    def __init__(self, inventory: Path) -> None:
        """inventory: folder of the measured installation. The bare VM uses a copy with its own name and address."""
        self.folder = ROOT / ".trackbox/bench-inventory"
        shutil.copytree(inventory, self.folder, ignore=shutil.ignore_patterns(".secrets"), dirs_exist_ok=True)
        settings = json.dumps({"local_vm_name": "bench", "local_vm_address": ADDRESS, "ansible_host": ADDRESS})
        (self.folder / "host_vars").mkdir(exist_ok=True)
        (self.folder / "host_vars/trackbox.yml").write_text(settings)
        (self.folder / "host_vars/localhost.yml").write_text(settings.replace("ansible_host", "bench_host"))

    def play(self, playbook: str, *options: str) -> dict[str, Any]:
        """Run a playbook; return the output of Ansible's JSON callback. Raises RuntimeError with the failed tasks."""
        command: list[str | Path] = [
            Path(sys.executable).with_name("ansible-playbook"),
            f"--inventory={self.folder}",
            playbook,
            *options,
        ]
        environment = os.environ | {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_CONFIG": "ansible.cfg"}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False
        )
        if "{" not in done.stdout:
            raise RuntimeError(f"{playbook}: {done.stderr[-2000:] or done.stdout[-2000:]}")
        said: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
        if done.returncode:
            tasks = [task for play in said["plays"] for task in play["tasks"]]
            failed = [
                f"{task['task']['name']}: {result.get('msg')} {result.get('stderr', '')[-1000:]}"
                for task in tasks
                for result in task["hosts"].values()
                if result.get("failed") or result.get("unreachable")
            ]
            raise RuntimeError(f"{playbook}: {'; '.join(failed)}")
        return said

    def remove(self, *options: str) -> None:
        """Remove the VM, if it exists."""
        self.play("playbooks/local-vm.yml", "--extra-vars=local_vm_state=absent", *options)

    def boot(self) -> None:
        """Replace the VM with a new bare VM; keep the secrets in the inventory."""
        self.remove(f"--extra-vars=local_vm_secrets={self.folder}/none")
        self.play("playbooks/local-vm.yml")

    def ssh(self, command: str) -> None:
        """Run a command on the VM; raises RuntimeError with the command's output if it fails."""
        Bench(Machine("bench", self.folder, {})).ssh(command, within=900)

    @property
    def bench(self) -> Bench:
        """Return the installation on the VM."""
        return Bench(find("bench", self.folder / ".secrets"))


@contextmanager
def bare(inventory: Path) -> Iterator[Bare]:
    """Yield a bare VM; remove the VM and its inventory afterwards."""
    made = Bare(inventory)
    try:
        yield made
    finally:
        made.remove()
        shutil.rmtree(made.folder)
