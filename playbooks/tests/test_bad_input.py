"""Bad settings: one sentence that names the variable, its value and the remedy, before anything is changed.

A machine for each mistake, all of them this one: they differ in their variables and in what they say of themselves.
One run of the playbook that site.yml begins with refuses them all.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_run import FACTS, ROOT, Outcome, inventory_of, play
from pki import write_mistakes

SECRETS = ["geheim", "975318642", "a long password", "PRIVATE KEY-----\\n"]

MISTAKES = yaml.safe_load(Path(__file__).with_name("mistakes.yml").read_text())


def preflight() -> list[dict[str, Any]]:
    """Return the playbook that site.yml begins with, but that each machine says what it is given to say of itself."""
    [play] = yaml.safe_load((ROOT / "playbooks/preflight.yml").read_text())
    given = {name: "{{ given_facts." + name + " }}" for name in FACTS}
    say = {"name": "Say what is given", "ansible.builtin.set_fact": {"cacheable": True, **given}}
    return [{**play, "gather_facts": False, "pre_tasks": [say]}]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Hold a port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield holder.getsockname()[1]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory, port: int) -> Outcome:
    """Run the preflight once, on all machines."""
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
    machines["held-port"] = {"given_facts": FACTS, "nginx_http_port": port}
    playbook = folder / "preflight.json"
    playbook.write_text(json.dumps(preflight()))
    return play(playbook, inventory_of(folder, machines))


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_gets_one_sentence_before_anything_is_changed(outcome: Outcome, name: str) -> None:
    said = outcome.refused(name)
    assert said.startswith(MISTAKES[name]["said"])
    assert said.endswith((".", "?"))


def test_a_port_that_something_else_holds_gets_its_holder_named(outcome: Outcome, port: int) -> None:
    said = outcome.refused("held-port")
    assert said.startswith(f"nginx_http_port: port {port} is held by ")
    assert said.endswith("): stop that, or choose another port.")


def test_good_settings_pass(outcome: Outcome) -> None:
    assert outcome.counts["good"]["failures"] == 0, outcome.messages["good"]
    assert outcome.counts["good"]["ok"] > 10


def test_no_secret_is_shown(outcome: Outcome) -> None:
    assert [secret for secret in SECRETS if secret in outcome.text] == []


def test_site_begins_with_it() -> None:
    site = (ROOT / "playbooks/site.yml").read_text()
    assert site.index("import_playbook: preflight.yml") < site.index("hosts:")
