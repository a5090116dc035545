"""Hostile models that may run code do no damage. If a version is refused, the previous version keeps serving."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from endpoint import Endpoint, alias, tag, until
from machine import Machine
from testinfra.host import Host

BODY = {"dataframe_split": {"columns": ["a", "b"], "data": [[0.0, 1.0], [3.0, 0.0]]}}
# Timeout in seconds until a version is served or refused. It allows for the download and twice serving_load_seconds.
DECIDED = 300


@dataclass
class Rules:
    """The model `rules`, whose versions may run code. good: number of a harmless version."""

    machine: Machine
    endpoint: Endpoint
    register: Callable[[str], str]
    good: str = ""

    def take(self, kind: str) -> tuple[str, str]:
        """Register a version, point the alias at it, and wait; return its number and the reason if it was refused."""
        number = self.register(kind)
        alias(self.machine, number, "live", "rules")
        until(lambda: tag(self.machine, number, "rules"), DECIDED, f"nothing was decided on {kind}")
        verdict = tag(self.machine, number, "rules")
        if verdict.startswith("refused: "):
            # The previous version keeps serving.
            assert self.endpoint.score() == (self.good, [0.5, 0.5])
            alias(self.machine, self.good, "live", "rules")
            return number, verdict.removeprefix("refused: ")
        self.endpoint.wait(number)
        return number, ""

    def said(self, kind: str) -> list[str]:
        """Wait until a version is served; return the forbidden actions in which it succeeded, as it reports them."""
        number, refused = self.take(kind)
        assert not refused
        version, scores = self.endpoint.score()
        assert version == number
        found: list[str] = json.loads(scores[0])
        alias(self.machine, self.good, "live", "rules")
        self.endpoint.wait(self.good)
        return found


@pytest.fixture(scope="module")
def rules(machine: Machine, host: Host) -> Iterator[Rules]:
    """Serve a harmless version of `rules`; at the end serve another, so that the previous version is harmless, too."""
    python = host.check_output("python3 -c 'import platform; print(platform.python_version())'")

    def register(kind: str) -> str:
        found: dict[str, str] = json.loads(
            machine.run_client("client_versions.py", "rules", python, kind).splitlines()[-1]
        )
        return found[kind]

    endpoint = Endpoint(machine, "admin", machine.secret("admin_password"), BODY, "rules")
    found = Rules(machine, endpoint, register)
    found.good, refused = found.take("nothing")
    assert not refused
    yield found
    found.take("nothing")


def test_a_model_reaches_no_network_no_secret_no_file_and_no_process_of_others(
    machine: Machine, host: Host, rules: Rules
) -> None:
    assert rules.said(f"probe:{machine.address}") == []
    assert host.check_output("find / -xdev -name written-by-a-model") == ""


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("allocate", "MemoryError"),
        ("loop", "did not answer within 90 s"),
        ("leave", "its process ended"),
        ("hang", "did not answer within 90 s"),
    ],
)
def test_a_model_that_does_not_load_or_answer_is_refused(host: Host, rules: Rules, kind: str, reason: str) -> None:
    number, refused = rules.take(kind)
    assert reason in refused
    unit = f"trackbox-serving@rules-{number}.service"
    until(lambda: host.run(f"systemctl is-active {unit}").rc, 120, f"{unit} runs")
    until(lambda: f"Version {number} was refused" in rules.endpoint.ask("").body.decode(), 30, "no page says so")


def test_a_model_that_forks_without_end_has_few_processes(host: Host, rules: Rules) -> None:
    [count] = rules.said("fork")
    most = host.check_output("systemctl show --property=TasksMax --value trackbox-serving@rules-1.service")
    assert 1 <= int(count) < int(most)


def test_a_model_that_fills_the_disk_is_stopped(host: Host, rules: Rules) -> None:
    number, refused = rules.take("fill")
    assert "MB where its log is, and 192 MB are the most" in refused
    folder = f"/var/lib/trackbox-serving/log/rules/{number}"
    until(lambda: host.run(f"ls {folder}").rc, 120, f"{folder} is there")


def test_a_process_that_a_model_leaves_behind_ends_with_its_version(host: Host, rules: Rules) -> None:
    number, refused = rules.take("outlive")
    assert not refused
    unit = f"trackbox-serving@rules-{number}.service"
    # Each version runs as its own user, so all processes of this user belong to the version.
    user = host.check_output(f"stat --format=%u /proc/$(systemctl show --property=MainPID --value {unit})")
    assert host.check_output(f"pgrep --uid {user} --count") > "2"
    # After two further versions, this version is neither live nor previous, so it is stopped.
    for kind in ("nothing", "nothing"):
        rules.good, _ = rules.take(kind)
    until(lambda: host.run(f"systemctl is-active {unit}").rc, 150, f"{unit} runs")
    until(lambda: host.run(f"pgrep --uid {user}").stdout == "", 30, "a process of it is left")


def test_what_a_model_plants_in_its_log_is_not_sent_on(host: Host, rules: Rules) -> None:
    assert rules.said("plant") == []
    folder = "/var/lib/trackbox-serving/log/rules"
    until(lambda: not host.run(f"ls {folder}/*/2026010100*").stdout, 60, "what it planted lies there")
    stored = host.check_output("ls -R /var/lib/minio/inference/rules")
    assert "2026010100-1-1" not in stored
    assert "2026010100-1-2" not in stored
