"""The table of defaults by machine size in docs/tuning.md is correct."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from ansible_run import FACTS, ROOT, inventory_of, play

# A row of the table: profile, memory in MB, cores; then the defaults: workers, buffer pool, connections.
ROW = re.compile(r"^\| `(auto|small)` \| ([\d,]+) \| (\d+) \| (\d+) \| (\d+M) \| (\d+) \|$", re.MULTILINE)
ASKED = "{{ mlflow_workers }} {{ mysql_innodb_buffer_pool_size }} {{ mysql_max_connections }}"
FILES = ["wiring/vars/main/main.yml", "mlflow/defaults/main.yml", "mysql/defaults/main.yml"]


def test_the_table_in_docs_tuning_has_the_defaults(tmp_path: Path) -> None:
    rows = ROW.findall((ROOT / "docs/tuning.md").read_text())
    wanted = {"-".join(row[:3]): " ".join(row[3:]) for row in rows}
    assert len(wanted) >= 9
    facts = {
        "-".join(row[:3]): {"memtotal_mb": int(row[1].replace(",", "")), "processor_nproc": int(row[2])} for row in rows
    }
    machines = {
        name: {"trackbox_profile": name.partition("-")[0], "given_facts": FACTS | given}
        for name, given in facts.items()
    }
    say = {"cacheable": True, **{name: "{{ given_facts." + name + " }}" for name in FACTS}}
    ask = {
        "name": "Ask the defaults",
        "hosts": "all",
        "gather_facts": False,
        "vars_files": [str(ROOT / "roles" / file) for file in FILES],
        "tasks": [
            {"name": "Say what is given", "ansible.builtin.set_fact": say},
            {"name": "Ask", "ansible.builtin.fail": {"msg": ASKED}},
        ],
    }
    playbook = tmp_path / "ask.yml"
    playbook.write_text(yaml.safe_dump([ask]))
    said = play(playbook, inventory_of(tmp_path, machines)).messages
    assert {name: messages[0] for name, messages in said.items()} == wanted
