"""Bad settings get one error message with the variable, its value and the remedy, before anything is changed.

Each mistake in mistakes.yml becomes a host. All hosts are this machine, with other variables and facts.
One run of preflight.yml must refuse all of them. site.yml imports preflight.yml first.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible_run import FACTS, ROOT, Outcome, inventory_of, play, preflight
from pki import write_mistakes

SECRETS = ["geheim", "975318642", "a long password", "PRIVATE KEY-----\\n"]

# The password of molecule/unfresh, which contains {{. It is `!unsafe`, so Ansible does not read it as a template.
UNFRESH = DataLoader().load_from_file(str(ROOT / "molecule/unfresh/inventory.yml"))
ODD = str(UNFRESH["all"]["vars"]["trackbox_training_password"])

MISTAKES = yaml.safe_load(Path(__file__).with_name("mistakes.yml").read_text())


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Listen on a free loopback port; yield its number."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield holder.getsockname()[1]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory, port: int) -> Outcome:
    """Run the preflight once for all mistakes, one host for each; return the result."""
    folder = tmp_path_factory.mktemp("bad_input")
    machines = {
        name: {
            **mistake.get("variables", {}),
            "given_facts": FACTS | mistake.get("facts", {}),
            "certificates": str(folder / name),
        }
        for name, mistake in MISTAKES.items()
    }
    for name, variables in machines.items():
        if "nginx_certificate" in variables or "trackbox_ca_certificate" in variables:
            (folder / name).mkdir()
            write_mistakes(folder / name, name)
    machines["good"] = {"given_facts": FACTS}
    machines["good-password"] = {"given_facts": FACTS, "trackbox_training_password": {"__ansible_unsafe": ODD}}
    machines["held-port"] = {"given_facts": FACTS, "nginx_http_port": port}
    playbook = folder / "preflight.json"
    playbook.write_text(json.dumps(preflight()))
    return play(playbook, inventory_of(folder, machines))


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_gets_one_sentence_before_anything_is_changed(outcome: Outcome, name: str) -> None:
    said = outcome.refused(name)
    assert said.startswith(MISTAKES[name]["said"])
    assert said.endswith((".", "?"))


def test_a_used_port_is_reported_with_the_program_that_uses_it(outcome: Outcome, port: int) -> None:
    said = outcome.refused("held-port")
    assert said.startswith(f"nginx_http_port: port {port} is held by ")
    assert said.endswith("): stop that, or choose another port.")


@pytest.mark.parametrize("name", ["good", "good-password"])
def test_good_settings_pass(outcome: Outcome, name: str) -> None:
    assert outcome.counts[name]["failures"] == 0, outcome.messages[name]
    assert outcome.counts["good"]["ok"] > 10


def test_no_secret_is_shown(outcome: Outcome) -> None:
    assert [secret for secret in SECRETS if secret in outcome.text] == []


def test_site_yml_begins_with_the_preflight() -> None:
    site = (ROOT / "playbooks/site.yml").read_text()
    assert site.index("import_playbook: preflight.yml") < site.index("hosts:")
