"""The statements of docs/your-own-vm.md, tested on the controller as its ordinary user."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

PROJECT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
URL = "https://own-vm-target"
SECRETS = "trackbox/inventory/mine/.secrets"
CURL = f"curl --silent --max-time 30 --cacert {SECRETS}/ca.crt"
LOGS = ["check", "install", "again"]
# Warnings that a run of site.yml cannot avoid.
WARNINGS = (
    "Deprecation warnings can be disabled",
    # These modules are deprecated. The roles cannot use their successors yet, because the lock file for Python 3.11 has
    # none.
    "community.mysql.mysql_",
    "Create user up to this point in real play",  # In check mode no task creates the user `minio`.
    "Create group up to this point in real play",
)


@pytest.fixture(scope="module")
def host() -> Host:
    """Return the controller. Commands on it run as `ada`, the user who installed Trackbox from there."""
    return testinfra.get_host("ssh://ada@own-vm-controller", ssh_config=str(PROJECT / ".trackbox/ssh_config"))


@pytest.fixture(scope="module")
def admin(host: Host) -> str:
    """Write the admin's password into a file, so that no command line shows it; return curl's option for the file."""
    host.check_output(f"""printf 'user = "admin:%s"' "$(cat {SECRETS}/admin_password)" >.curlrc.admin""")
    return "--config .curlrc.admin"


def log(host: Host, name: str) -> str:
    """Return the output of a run of site.yml."""
    return str(host.file(f"/home/ada/{name}.log").content_string)


def status(host: Host, path: str, options: str = "") -> str:
    """Return the HTTP status that curl gets from NGINX for a path."""
    return str(host.check_output(f"{CURL} {options} --output /dev/null --write-out '%{{http_code}}' {URL}{path}"))


def mlflow(host: Host, admin: str, call: str) -> Any:
    """Return the decoded response of MLflow's API."""
    return json.loads(host.check_output(f"{CURL} --fail {admin} {URL}/api/2.0/mlflow/{call}"))


def test_the_controller_needs_no_root(host: Host) -> None:
    assert host.check_output("id -un") == "ada"
    assert host.run("sudo -n true").failed


def test_the_controller_runs_the_ansible_that_is_locked_for_its_python(host: Host) -> None:
    locked = re.search(
        r"ansible-core==(\S+) ; python_full_version >= '3.12'", (PROJECT / "requirements.txt").read_text()
    )
    version = host.check_output("trackbox/.venv/bin/ansible --version")
    assert locked
    assert f"[core {locked[1]}]" in version
    assert "python version = 3.13." in version


@pytest.mark.parametrize("name", LOGS)
def test_no_task_of_a_run_fails(host: Host, name: str) -> None:
    assert re.search(r"^trackbox +: ok=\d+ .*unreachable=0 +failed=0 ", log(host, name).split("PLAY RECAP")[1], re.M)


@pytest.mark.parametrize("name", LOGS)
def test_a_run_shows_no_secret(host: Host, name: str) -> None:
    secrets = host.check_output(f"grep --no-filename -xE '[A-Za-z0-9]{{32}}' {SECRETS}/*").split()
    assert len(secrets) >= 7
    assert [secret for secret in secrets if secret in log(host, name)] == []


@pytest.mark.parametrize("name", LOGS)
def test_a_run_prints_no_avoidable_warning(host: Host, name: str) -> None:
    lines = [line for line in log(host, name).splitlines() if "WARNING]" in line]
    assert [line for line in lines if not any(known in line for known in WARNINGS)] == []


def test_a_second_run_changes_nothing(host: Host) -> None:
    assert re.search(r"^trackbox +: ok=\d+ +changed=0 ", log(host, "again"), re.M)


def test_ansible_reads_no_secret_as_a_host(host: Host) -> None:
    graph = host.check_output("cd trackbox && .venv/bin/ansible-inventory -i inventory/mine --graph")
    assert set(re.findall(r"--(\w+)", graph)) == {"trackbox"}


def test_nobody_else_reads_the_secrets_and_git_ignores_them(host: Host) -> None:
    assert host.check_output(f"stat --format %a {SECRETS}") == "700"
    assert host.check_output(f"find {SECRETS} -type f -perm /077 -not -name ca.crt") == ""
    assert "secrets" not in host.check_output("cd trackbox && git status --porcelain --untracked-files=all")


def test_the_front_door_is_ready_and_asks_for_the_password(host: Host, admin: str) -> None:
    assert status(host, "/healthz") == "200"
    assert status(host, "/") == "401"
    assert status(host, "/", "--user admin:wrong") == "401"
    assert status(host, "/", admin) == "200"


def test_clients_that_do_not_trust_the_authority_refuse(host: Host) -> None:
    certificate_unknown = 60
    assert host.run(f"curl --silent {URL}/healthz").rc == certificate_unknown


def test_the_environment_for_clients_reaches_the_buckets(host: Host) -> None:
    key = r"user = \"$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY\""
    listing = host.check_output(
        f"""eval "$(cat {SECRETS}/env)" && echo "{key}" >.curlrc.s3 &&"""
        """ curl --silent --fail --cacert "$AWS_CA_BUNDLE" --config .curlrc.s3"""
        """ --aws-sigv4 "aws:amz:$AWS_DEFAULT_REGION:s3" "$AWS_ENDPOINT_URL_S3/datasets?list-type=2" """
    )
    assert "<Name>datasets</Name>" in listing


def test_the_user_of_the_machine_trains(host: Host, admin: str) -> None:
    trained = host.run("ssh ops@own-vm-target fraud train")
    assert trained.rc == 0, trained.stderr
    experiment = mlflow(host, admin, "experiments/get-by-name?experiment_name=fraud")["experiment"]["experiment_id"]
    runs = mlflow(host, admin, f"runs/search --json '{json.dumps({'experiment_ids': [experiment]})}'")["runs"]
    assert len(runs) >= 6
    assert {run["info"]["status"] for run in runs} == {"FINISHED"}
