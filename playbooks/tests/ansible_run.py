"""Run playbooks on this machine with inventories that tests write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
GROUPS = ["mysql", "minio", "mlflow", "nginx", "training"]

# Ansible's facts about a machine that the preflight accepts.
FACTS: dict[str, Any] = {
    "architecture": "x86_64",
    "distribution": "Debian",
    "distribution_major_version": "13",
    "distribution_release": "trixie",
    "distribution_version": "13.1",
    "memtotal_mb": 3900,
    "processor_nproc": 2,
    "python": {"version": {"major": 3, "minor": 13}},
    "mounts": [{"mount": "/", "size_available": 30 * 10**9}],
    "service_mgr": "systemd",
}


@dataclass
class Outcome:
    """The result of a playbook run."""

    status: int
    text: str
    messages: dict[str, list[str]] = field(default_factory=dict)  # Error messages of failed tasks, by host.
    counts: dict[str, dict[str, int]] = field(default_factory=dict)  # Numbers of tasks, by host and result.

    def refused(self, host: str) -> str:
        """Check that the host failed with exactly one error message, before any change; return the message."""
        assert self.status != 0, self.text
        assert "Traceback" not in self.text
        assert self.counts[host]["changed"] == 0
        assert self.counts[host]["failures"] == 1, self.text
        [message] = self.messages[host]
        return message


def play(
    playbook: Path,
    inventory: Path,
    *options: str,
    prefix: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Run a playbook; return its result. prefix: words before Ansible's command, such as `unshare --user`."""
    ansible = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [*prefix, ansible, "-i", str(inventory), str(playbook), *options]
    settings = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_FORKS": "8", "ANSIBLE_CONFIG": "ansible.cfg"}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **settings, **(environment or {})},
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    outcome = Outcome(done.returncode, done.stdout + done.stderr)
    answer = json.loads(done.stdout[done.stdout.index("{") :])
    outcome.counts = answer["stats"]
    for task in (task for shown in answer["plays"] for task in shown["tasks"]):
        for host, result in task["hosts"].items():
            if result.get("failed"):
                outcome.messages.setdefault(host, []).append(result["msg"])
    return outcome


def preflight() -> list[dict[str, Any]]:
    """Return the play of preflight.yml, but with the facts from each host's variable `given_facts`."""
    path = ROOT / "playbooks/preflight.yml"
    [_, checks] = yaml.safe_load(path.read_text())
    # The play runs from another folder, so its relative paths become absolute.
    checks["vars_files"] = [str(path.parent / name) for name in checks["vars_files"]]
    given = {name: "{{ given_facts." + name + " }}" for name in FACTS}
    say = {"name": "Say what is given", "ansible.builtin.set_fact": {"cacheable": True, **given}}
    return [{**checks, "gather_facts": False, "pre_tasks": [say]}]


def inventory_of(folder: Path, hosts: dict[str, dict[str, Any]]) -> Path:
    """Write an inventory whose hosts are all this machine, each with its own variables and in every service's group."""
    shared = {
        "ansible_connection": "local",
        "ansible_become": False,
        "ansible_python_interpreter": sys.executable,
        # Set the result of tasks/look.yml to that of a bare machine, because this computer has other packages.
        "machine_look": {"stdout": ""},
    }
    members: dict[str, Any] = {name: {} for name in hosts if name != "localhost"}
    groups = {group: {"hosts": members} for group in GROUPS}
    inventory = {"all": {"hosts": hosts, "vars": shared, "children": {"workbench": {"children": groups}}}}
    path = folder / "hosts.json"
    path.write_text(json.dumps(inventory))
    return path
