"""Measure site.yml on a bare VM, then a second run of site.yml, and a shell script with the same steps."""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

from bare import Bare, bare
from harness import ROOT, Bench
from report import Result, Target, spread

sys.path.insert(0, str(ROOT / "plugins/modules"))
from minio_content import policy

# Files that site.yml wrote and the shell script contains as copies. The script's own commands create everything else,
# such as packages, environments and the certificate.
WRITTEN = """/etc/trackbox/minio/* /etc/trackbox/mlflow/* /etc/trackbox/training/* /etc/trackbox/firewall.nft
/etc/trackbox/nginx/htpasswd /etc/trackbox/nginx/make-certificate /etc/mysql/mysql.conf.d/trackbox.cnf
/etc/systemd/journald.conf.d/* /etc/systemd/system/*/trackbox.conf /etc/systemd/system/mlflow*.*
/etc/systemd/system/minio*.service /etc/systemd/system/trackbox*.* /etc/apt/*/*trackbox*
/opt/trackbox/*/*.py /usr/local/bin/fraud"""
READ = """import glob, grp, json, os, pwd, sys
found = {}
for pattern in sys.stdin.read().split():
    for path in filter(os.path.isfile, glob.glob(pattern)):
        about = os.stat(path)
        owner, group = pwd.getpwuid(about.st_uid).pw_name, grp.getgrgid(about.st_gid).gr_name
        found[path] = [f"{about.st_mode & 0o7777:o}", owner, group, open(path).read()]
print(json.dumps(found))"""


ROUNDS = 2


def tasks(said: dict[str, Any]) -> list[tuple[float, str, str]]:
    """Return the seconds, the role (or "playbooks") and the name of each task of a playbook run."""
    found = []
    for play in said["plays"]:
        for entry in play["tasks"]:
            task = entry["task"]
            if "end" in task["duration"]:
                start, end = (datetime.fromisoformat(task["duration"][key]) for key in ("start", "end"))
                role, _, name = task["name"].rpartition(" : ")
                found.append(((end - start).total_seconds(), role or "playbooks", name))
    return found


def script(bench: Bench) -> dict[str, str]:
    """Return the shell script and its input files as texts, by name. The script contains the files of WRITTEN."""
    files = json.loads(bench.ssh(f"python3 -c {shlex.quote(READ)}", WRITTEN))
    texts = []
    for path, (mode, owner, group, content) in files.items():
        cut = "" if content.endswith("\n") else "\ntruncate -s -1 " + path
        text = content.removesuffix("\n")
        texts.append(f"write {path} {mode} {owner} {group} <<'END_OF_FILE'\n{text}\nEND_OF_FILE{cut}")
    current = bench.ssh(
        "basename $(readlink /opt/trackbox/mlflow/current); dirname /opt/trackbox/minio/*/minio"
    ).split()
    names = f"HOST={bench.machine.address}\nMLFLOW={current[0]}\nMINIO={current[1]}\n"
    secret = bench.machine.secret
    users = {
        "mlflow": (secret("mlflow_s3_secret"), policy([], ["mlflow"])),
        "training": (secret("training_s3_secret"), policy([], ["datasets"])),
    }
    root = {"root_user": "trackbox-root", "root_password": secret("minio_root_password")}
    locks = {"uv": "roles/machine/files/uv.txt", "sdk": "roles/minio/files/sdk.txt"}
    locks |= {"mlflow": "roles/mlflow/files/requirements.txt", "training": "training/requirements.txt"}
    return {
        "script": names + (ROOT / "bench/install.sh").read_text().replace("\n@FILES@\n", "\n".join(["", *texts, ""])),
        "content": json.dumps(root | {"buckets": ["mlflow", "datasets"], "users": users}),
        "nginx.conf": bench.ssh("cat /etc/nginx/nginx.conf"),
        "minio": Path(current[1]).name,
        **{name: (ROOT / path).read_text() for name, path in locks.items()},
    }


def by_shell(at: Bare, texts: dict[str, str]) -> float:
    """Install with the shell script; return the seconds, including building the wheel and copying files to the VM."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "trackbox/minio"
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "bench"
        folder.mkdir()
        for file, text in texts.items():
            (folder / file).write_text(text)
        subprocess.run(["uv", "build", "--quiet", "--wheel", "--out-dir", folder, "training"], cwd=ROOT, check=True)
        copy = ["scp", "-q", "-r", "-F", ROOT / ".trackbox/ssh_config"]
        subprocess.run([*copy, folder, "bench:/root/bench"], check=True, timeout=60)
        [binary] = cache.glob(texts["minio"] + "*/minio")
        subprocess.run([*copy, binary, "bench:/root/bench/minio"], check=True, timeout=60)
    at.ssh("bash /root/bench/script")
    subprocess.run([*copy, "bench:/etc/trackbox/ca.crt", at.folder / ".secrets/"], check=True, timeout=60)
    at.bench.machine.wait_for_health(200, 60)
    return time.monotonic() - began


def where(said: dict[str, Any]) -> list[str]:
    """Return the lines of two Markdown tables: the seconds of each role, and the ten slowest tasks of a run."""
    all_tasks, roles = tasks(said), defaultdict[str, list[float]](list)
    for seconds, role, _ in all_tasks:
        roles[role].append(seconds)
    lines = ["| role | tasks | seconds | seconds a task |", "| --- | ---: | ---: | ---: |"]
    for role, each in sorted(roles.items(), key=lambda item: -sum(item[1])):
        lines.append(f"| {role} | {len(each)} | {sum(each):.1f} | {statistics.mean(each):.2f} |")
    lines += ["", "| slowest tasks | role | seconds |", "| --- | --- | ---: |"]
    slowest = sorted(all_tasks)[:-11:-1]
    return lines + [f"| {name.replace(' | ', ': ')} | {role} | {seconds:.1f} |" for seconds, role, name in slowest]


def measure(bench: Bench) -> Result:
    """Measure site.yml and the shell script on a bare VM. MinIO's binary is cached, and all packages are downloaded."""
    found: dict[str, list[float]] = {"`site.yml`": [], "the shell script": [], "`site.yml` again": []}
    with bare(bench.machine.secrets.parent) as at:
        texts: dict[str, str] = {}
        for _ in range(ROUNDS):
            at.boot()
            began = time.monotonic()
            first = at.play("site.yml")
            found["`site.yml`"].append(time.monotonic() - began)
            for _ in range(3):
                began = time.monotonic()
                again = at.play("site.yml")
                found["`site.yml` again"].append(time.monotonic() - began)
            texts = texts or script(at.bench)
            at.boot()
            found["the shell script"].append(by_shell(at, texts))
        at.play("playbooks/verify.yml")
    middle = {name: statistics.median(values) for name, values in found.items()}
    table = ["| what | seconds (each) |", "| --- | --- |"]
    table += [f"| {name} | {spread(values)} |" for name, values in found.items()]
    table += ["", "The installation by the shell script keeps every promise of `playbooks/verify.yml`."]
    changed = sum(host["changed"] for host in again["stats"].values())
    return Result(
        [
            Target(
                "`site.yml`, relative to a shell script of the same steps",
                middle["`site.yml`"] / middle["the shell script"],
                1.5,
            ),
            Target("`site.yml` again", middle["`site.yml` again"], 20, "s"),
            Target("tasks that `site.yml` changes again", changed, 0, "tasks"),
        ],
        "\n".join([*table, "", "The first run:", "", *where(first), "", "The second run:", "", *where(again)]),
    )
