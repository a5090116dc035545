"""`make ssh` opens a shell on the machine with NGINX, with the SSH settings that Ansible uses for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_run import ROOT

# A fake ssh for the tests, which prints its arguments, one on each line.
PRINTS = "#!/bin/sh\nprintf '%s\\n' \"$@\"\n"


def shell(folder: Path, hosts: dict[str, dict[str, Any]], group: str = "nginx") -> subprocess.CompletedProcess[str]:
    """Run ssh.py with an inventory of these hosts, and a program `ssh` that prints its arguments."""
    inventory = folder / "hosts.json"
    inventory.write_text(json.dumps({"all": {"children": {group: {"hosts": hosts}}}}))
    program = folder / "ssh"
    program.write_text(PRINTS)
    program.chmod(0o755)
    return subprocess.run(
        [sys.executable, "playbooks/ssh.py", str(inventory)],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "HOME": "/home/ada"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_shell_uses_the_settings_of_the_inventory(tmp_path: Path) -> None:
    settings = {
        "ansible_host": "192.0.2.7",
        "ansible_port": 2222,
        "ansible_user": "ada",
        "ansible_ssh_private_key_file": "~/.ssh/trackbox",
        "ansible_ssh_common_args": "-o ProxyCommand='ssh -W %h:%p gate'",
    }
    done = shell(tmp_path, {"box": settings, "second": {}})
    assert done.stdout.splitlines() == [
        *("-o", "ProxyCommand=ssh -W %h:%p gate"),
        *("-i", "/home/ada/.ssh/trackbox"),
        *("-p", "2222"),
        *("-l", "ada"),
        "192.0.2.7",
    ], done.stderr


def test_without_settings_the_shell_gets_the_hosts_name(tmp_path: Path) -> None:
    assert shell(tmp_path, {"box.example.org": {}}).stdout == "box.example.org\n"


@pytest.mark.parametrize(("hosts", "group"), [({}, "nginx"), ({"box": {}}, "mysql")])
def test_an_inventory_without_a_machine_with_nginx_is_named(
    tmp_path: Path, hosts: dict[str, dict[str, Any]], group: str
) -> None:
    done = shell(tmp_path, hosts, group)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"{tmp_path}/hosts.json names no machine in its group nginx.")
