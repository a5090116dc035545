"""Invalid channels for messages are refused. Alertmanager's amtool accepts the settings of valid channels."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from monitoring_channels import alertmanager_settings, channel_problems, channel_secrets

MAIL = {
    "kind": "mail",
    "to": ["ops@example.com", "ann@b.org"],
    "from": "trackbox@example.com",
    "server": "mail.example.com:587",
}
LOGIN = {"user": "trackbox", "password": "a {{ password }} of many \" ' : # words ünd"}
WEBHOOK = {"kind": "webhook", "url": "https://alerts.example.com/in?key=x"}
SLACK = {"kind": "slack", "url": "https://hooks.slack.example.com/services/T0/B0/x"}
CHANNELS: list[dict[str, Any]] = [MAIL, {**MAIL, **LOGIN}, WEBHOOK, {**WEBHOOK, "url": "http://[::1]:8080"}, SLACK]


def test_complete_channels_are_accepted() -> None:
    assert channel_problems(CHANNELS, "https://beats.example.com/ping/1") == []
    assert channel_problems([], "") == []
    assert channel_problems([{**MAIL, "server": "[fd00::1]:25", "tls": False, "user": None, "password": ""}], "") == []


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        ({"kind": "mail", "server": "a:25", "from": "a@b"}, "needs the key to"),
        ({**MAIL, "to": []}, "needs the key to"),
        ({"kind": "slack"}, "needs the key url"),
        ({**WEBHOOK, "to": ["a@b"]}, "has the key to, which belongs to another kind"),
        ({**WEBHOOK, "url": "alerts.example.com/secret"}, "has a url that is not http://HOST"),
        ({**WEBHOOK, "url": "https:///secret"}, "has a url that is not http://HOST"),
        ({**SLACK, "url": "https://host:99999/secret"}, "has a url that is not http://HOST"),
        ({**SLACK, "url": "https://host/a b secret"}, "has a url that is not http://HOST"),
        ({**MAIL, "to": ["ops.example.com"]}, "names ops.example.com: that is no mail address"),
        ({**MAIL, "from": "Trackbox <a@b>"}, "names Trackbox <a@b>: that is no mail address"),
        ({**MAIL, "server": "mail.example.com"}, "has the server mail.example.com: write HOST:PORT"),
        ({**MAIL, "server": "mail.example.com:70000"}, "write HOST:PORT"),
        ({**MAIL, "user": "trackbox"}, "has one of user and password"),
        ({**MAIL, **LOGIN, "tls": False}, "would send its password without TLS"),
    ],
)
def test_a_channel_that_cannot_work_gets_a_sentence(channel: dict[str, Any], words: str) -> None:
    [said] = channel_problems([SLACK, channel], "")
    assert said.startswith(f"monitoring_channels[1], a channel of the kind {channel['kind']}, ")
    assert words in said
    # The error message must contain no URL and no password, because they can be secret.
    assert "secret" not in said
    assert LOGIN["password"] not in said


def test_passwords_are_secrets_and_have_names() -> None:
    assert channel_secrets(CHANNELS) == {"the password of monitoring_channels[1]": LOGIN["password"]}


def test_a_wrong_address_of_the_heartbeat_gets_a_sentence() -> None:
    assert channel_problems([], "beats.example.com") == [
        "monitoring_heartbeat_url is not http://HOST or https://HOST, with or without a path."
    ]


@pytest.mark.skipif(not shutil.which("amtool"), reason="amtool is not installed: make tools")
@pytest.mark.parametrize("channels", [[], CHANNELS])
@pytest.mark.parametrize("heartbeat", ["", "http://127.0.0.1:1/beat"])
def test_alertmanager_takes_the_settings(tmp_path: Path, channels: list[dict[str, Any]], heartbeat: str) -> None:
    messages = Path(__file__).parents[2] / "roles/monitoring/files/messages.tmpl"
    given = {"channels": channels, "heartbeat_url": heartbeat, "repeat_hours": 12, "messages": str(messages)}
    path = tmp_path / "alertmanager.yml"
    path.write_text(yaml.safe_dump(alertmanager_settings(given), allow_unicode=True, width=10000))
    done = subprocess.run(
        ["amtool", "check-config", str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_test_message_is_sent_by_each_channel_and_only_once() -> None:
    settings = alertmanager_settings({"channels": CHANNELS, "heartbeat_url": "", "repeat_hours": 2, "messages": "x"})
    people, test = settings["receivers"]
    assert [len(people[key]) for key in ("email_configs", "webhook_configs", "slack_configs")] == [2, 2, 1]
    assert {key: len(test[key]) for key in test if key != "name"} == {
        key: len(people[key]) for key in people if key != "name"
    }
    assert {each["send_resolved"] for key in test if key != "name" for each in test[key]} == {False}
    assert settings["route"]["repeat_interval"] == "2h"
