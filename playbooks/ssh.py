"""Open a shell on an inventory's machine, or run COMMAND on it, with Ansible's settings: ssh.py INVENTORY [COMMAND]."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SETTINGS = {
    "args": "{{ ansible_ssh_common_args | default('') }} {{ ansible_ssh_extra_args | default('') }}",
    "host": "{{ ansible_host | default(inventory_hostname) }}",
    "key": "{{ ansible_ssh_private_key_file | default('') }}",
    "port": "{{ ansible_port | default('') }}",
    "user": "{{ ansible_user | default('') }}",
}


def settings(inventory: str) -> dict[str, str]:
    """Return Ansible's SSH settings of the machine with NGINX; exit with an error message if there is none."""
    ansible = str(Path(sys.executable).with_name("ansible"))
    asked = [ansible, "-i", inventory, "nginx[0]", "-m", "ansible.builtin.debug", "-a", json.dumps({"msg": SETTINGS})]
    told = {"ANSIBLE_LOAD_CALLBACK_PLUGINS": "1", "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}
    done = subprocess.run(asked, env=os.environ | told, capture_output=True, text=True, check=False)
    tasks = [task for play in json.loads(done.stdout)["plays"] for task in play["tasks"]] if done.stdout else []
    if done.returncode or not tasks:
        sys.exit(f"{inventory} names no machine in its group nginx. {done.stderr}".strip())
    [result] = tasks[0]["hosts"].values()
    return {name: str(value) for name, value in result["msg"].items()}


def command(found: dict[str, str], words: Sequence[str] = ()) -> list[str]:
    """Return the ssh command that opens a shell, or that runs the command `words` on the machine."""
    given = {
        "-i": str(Path(found["key"]).expanduser()) if found["key"] else "",
        "-p": found["port"],
        "-l": found["user"],
    }
    options = [word for option, value in given.items() if value for word in (option, value)]
    return ["ssh", *shlex.split(found["args"]), *options, found["host"], *map(shlex.quote, words)]


if __name__ == "__main__":
    line = command(settings(sys.argv[1]), sys.argv[2:])
    os.execvp(line[0], line)
