"""The summary, the output of `make env`, and the settings of MLflow and its database follow an inventory."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_run import FACTS, ROOT, inventory_of, play

SERVICES = yaml.safe_load((ROOT / "roles/wiring/vars/main/services.yml").read_text())["wiring_services"]
ROLES = ["wiring", "handover", *SERVICES]
TEMPLATES = {
    "summary": "handover/templates/summary.txt.j2",
    "env": "handover/templates/env.j2",
    "training": "training/templates/settings.env.j2",
    "mlflow": "mlflow/templates/mlflow.service.j2",
    "mysql": "mysql/templates/trackbox.cnf.j2",
}
RESOLVERS = ["198.51.100.53", "fe80::1%eth0"]
PASSWORD = "Zwölf é 😀 \"zwei\" 'drei' $4 {{ fünf"
# The JSON form of YAML's `!unsafe`. It keeps Ansible from reading the text as a template.
GIVEN = {"__ansible_unsafe": PASSWORD}
# The inventory's machines, and the variables of each.
MACHINES: dict[str, dict[str, Any]] = {
    "plain": {"trackbox_host": "box.example.org"},
    "own-password": {"trackbox_admin_password": GIVEN, "trackbox_training_password": GIVEN},
    "own-users": {"nginx_users": [{"name": "ada", "password": GIVEN, "role": "admin"}]},
    "capitals": {"trackbox_host": "Box.Example.ORG", "trackbox_https_port": 8443},
    "public-webhooks": {"mlflow_webhook_targets": ["1.1.1.1", "2606:4700::/32"]},
    "large-requests": {"mysql_flavor": "mariadb", "trackbox_max_request_mb": 100},
    "largest-requests": {"trackbox_max_request_mb": 600},
    "private-webhooks": {"mlflow_webhook_targets": ["1.1.1.1", "10.20.0.0/16"]},
}

Rendered = Mapping[str, Mapping[str, str]]


def variables(kind: str) -> list[Path]:
    """Return the files of variables of all roles. kind: defaults or vars."""
    return [path for role in ROLES for path in sorted((ROOT / "roles" / role / kind).rglob("*.yml"))]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """Render each template for each machine; return the texts by machine and template."""
    folder = tmp_path_factory.mktemp("rendered")
    # Pass the roles' defaults as variables of a group, because the machines' own variables override a group's
    # variables.
    defaults: dict[str, Any] = {}
    for path in variables("defaults"):
        defaults |= yaml.safe_load(path.read_text()) or {}
    facts = {**FACTS, "dns": {"nameservers": RESOLVERS}}
    texts = {
        name: f"{{{{ lookup('ansible.builtin.template', '{ROOT}/roles/{path}') }}}}" for name, path in TEMPLATES.items()
    }
    tasks = [
        {"name": "Set the facts", "ansible.builtin.set_fact": {"cacheable": True, **facts}},
        {
            "name": "Render the templates",
            "vars": {"texts": texts},
            "ansible.builtin.fail": {"msg": "{{ texts | to_json }}"},
        },
    ]
    playbook = folder / "render.json"
    files = [str(path) for path in variables("vars")]
    playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "vars_files": files, "tasks": tasks}]))
    machines = {name: {"trackbox_secrets": str(folder / name), **settings} for name, settings in MACHINES.items()}
    inventory = inventory_of(folder, machines)
    written = json.loads(inventory.read_text())
    written["all"]["children"]["workbench"]["vars"] = defaults
    inventory.write_text(json.dumps(written))
    outcome = play(playbook, inventory)
    assert sorted(outcome.messages) == sorted(MACHINES), outcome.text
    return {name: json.loads(messages[0]) for name, messages in outcome.messages.items()}


def line(text: str, name: str) -> str:
    """Return the value beside a name in the summary."""
    [found] = re.findall(rf"^  {name} +(.*)$", text, re.MULTILINE)
    return str(found)


def environment(text: str, name: str) -> str:
    """Return the value of an environment variable of a unit."""
    [found] = re.findall(rf'^Environment="?{name}=(.*?)"?$', text, re.MULTILINE)
    return str(found)


def test_the_summary_names_the_file_only_of_a_password_that_is_used(rendered: Rendered) -> None:
    found = {name: line(rendered[name]["summary"], "its password") for name in ("plain", "own-password", "own-users")}
    assert found.pop("plain").endswith("/plain/admin_password")
    assert found == {
        "own-password": "in your variables (trackbox_admin_password)",
        "own-users": "in your variables (nginx_users)",
    }
    assert line(rendered["own-users"]["summary"], "user") == "ada"
    assert PASSWORD not in rendered["own-password"]["summary"]


@pytest.mark.parametrize(("machine", "user"), [("own-password", "admin"), ("own-users", "ada")])
def test_the_settings_of_clients_have_the_login_that_is_used(rendered: Rendered, machine: str, user: str) -> None:
    found = dict(word.split("=", 1) for word in shlex.split(rendered[machine]["env"]) if "=" in word)
    assert (found["MLFLOW_TRACKING_USERNAME"], found["MLFLOW_TRACKING_PASSWORD"]) == (user, PASSWORD)


def test_the_training_command_gets_a_password_of_any_characters(rendered: Rendered) -> None:
    script = rendered["own-password"]["training"] + 'printf %s "$MLFLOW_TRACKING_PASSWORD"'
    done = subprocess.run(["sh", "-c", script], env={}, capture_output=True, text=True, check=True, timeout=10)
    assert done.stdout == PASSWORD


def test_a_host_in_capitals_is_written_as_clients_send_it(rendered: Rendered) -> None:
    url = "https://box.example.org:8443"
    texts = rendered["capitals"]
    assert line(texts["summary"], "MLflow") == f"{url}/"
    assert line(texts["summary"], "S3") == "https://box.example.org:9443"
    assert f"export MLFLOW_TRACKING_URI={url}\n" in texts["env"]
    # The host name must be in lower case here, because MLflow compares host names case-sensitively.
    assert environment(texts["mlflow"], "MLFLOW_SERVER_ALLOWED_HOSTS").split(",")[0] == "box.example.org:8443"
    assert environment(texts["mlflow"], "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS") == url
    assert "Box.Example" not in texts["env"] + texts["mlflow"]


def test_the_database_takes_the_statement_of_the_largest_request(rendered: Rendered) -> None:
    machines = ("plain", "large-requests", "largest-requests")
    found = {
        name: re.findall(r"^max_allowed_packet = (.*)$", rendered[name]["mysql"], re.MULTILINE) for name in machines
    }
    assert found == {"plain": ["64M"], "large-requests": ["200M"], "largest-requests": ["1024M"]}


def allowed(text: str) -> str:
    """Return the value of a unit's last IPAddressAllow: the addresses that the unit may connect to."""
    return re.findall(r"^IPAddressAllow=(.*)$", text, re.MULTILINE)[-1]


def test_the_unit_of_mlflow_reaches_the_targets_of_webhooks_and_its_name_servers_only(rendered: Rendered) -> None:
    units = {name: rendered[name]["mlflow"] for name in ("plain", "public-webhooks", "private-webhooks")}
    assert {name: allowed(text) for name, text in units.items()} == {
        "plain": "localhost",
        "public-webhooks": "1.1.1.1 2606:4700::/32 198.51.100.53",
        "private-webhooks": "1.1.1.1 10.20.0.0/16 198.51.100.53",
    }
    assert all(text.count("\nIPAddressDeny=any\n") == 1 for text in units.values())
    # MLflow's own filter refuses webhooks to any private address, so only a private target switches this filter off.
    private = "Environment=MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true"
    assert [name for name, text in units.items() if private in text] == ["private-webhooks"]


def nginx_settings(folder: Path, loopback: dict[str, Any]) -> tuple[dict[str, list[str]], str]:
    """Render NGINX's settings without monitoring and models; return the services' parts, and nginx.conf.

    loopback: the facts about the network interface `lo`.
    """
    tasks = [
        {"name": "Set the facts", "ansible.builtin.set_fact": {"cacheable": True, **FACTS, "lo": loopback}},
        {
            "name": "Render the parts of the services",
            "ansible.builtin.include_role": {
                "name": str(ROOT / "roles/nginx"),
                "tasks_from": "render",
                "public": True,
            },
        },
        {"name": "Print them", "ansible.builtin.fail": {"msg": "{{ [__nginx_parts, configuration] | to_json }}"}},
    ]
    playbook = folder / "render.json"
    template = ROOT / "roles/nginx/templates/nginx.conf.j2"
    configuration = {"configuration": f"{{{{ lookup('ansible.builtin.template', '{template}') }}}}"}
    playbook.write_text(
        json.dumps([{"hosts": "all", "gather_facts": False, "vars": configuration, "tasks": tasks}]),
    )
    outcome = play(playbook, inventory_of(folder, {"plain": {"monitoring_enabled": False, "serving_models": []}}))
    [(parts, text)] = map(json.loads, outcome.messages["plain"])
    return parts, text


def test_a_service_that_is_switched_off_adds_nothing_to_nginxs_settings(tmp_path: Path) -> None:
    parts, _ = nginx_settings(tmp_path, {})
    # Ansible renders a template that writes nothing as None.
    assert all(isinstance(text, str) for texts in parts.values() for text in texts)
    assert not any("/status" in text for text in parts["door"])
    # NGINX refuses a variable that no `set` names.
    assert not any("$served" in text for text in parts["door"])


def test_nginx_listens_on_ipv6_only_on_a_machine_that_has_it(tmp_path: Path) -> None:
    _, without = nginx_settings(tmp_path, {})
    _, with_both = nginx_settings(tmp_path, {"ipv6": [{"address": "::1", "prefix": "128", "scope": "host"}]})
    ports = re.findall(r"listen (\d+) ", without)
    assert len(ports) == 3  # HTTP, HTTPS and S3.
    assert "listen [" not in without
    assert re.findall(r"listen \[::\]:(\d+) ", with_both) == ports
    assert re.findall(r"listen (\d+) ", with_both) == ports
