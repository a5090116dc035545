"""Messages about alerts arrive at a mail server, a webhook and a fake Slack server; heartbeats are sent."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from machine import HOST, Machine
from testinfra.host import Host

FOLDER, NAME = "/root/received", "mail.trackbox.test"
PASSWORD = 'a "pass\\word": {{ of }} # wörds'
MAIL = {
    "kind": "mail",
    "to": ["ops@example.com", "ann@example.org"],
    "from": "trackbox@example.com",
    "user": "trackbox",
}
POSTS = "http://127.0.0.1:8090"
# Commands that create a certificate which the machine trusts, and start the mail and HTTP servers.
START = f"""
set -e
apt-get install -qq -y --no-install-recommends python3-aiosmtpd </dev/null >/dev/null 2>&1
mkdir -p {FOLDER}
cd {FOLDER}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={NAME} \
  -addext subjectAltName=DNS:{NAME} -keyout {NAME}.key -out {NAME}.crt 2>/dev/null
cp {NAME}.crt /usr/local/share/ca-certificates/
update-ca-certificates >/dev/null
grep -q {NAME} /etc/hosts || echo "127.0.0.1 {NAME}" >>/etc/hosts
cat >receivers.py
systemd-run --quiet --collect --unit=receivers --working-directory={FOLDER} \
  python3 receivers.py {FOLDER} {NAME} {shlex.quote(PASSWORD)}
"""
END = f"""
systemctl stop receivers
rm -r {FOLDER} /usr/local/share/ca-certificates/{NAME}.crt
update-ca-certificates --fresh >/dev/null
sed -i /{NAME}/d /etc/hosts
"""


def settings(folder: Path, password: str = PASSWORD) -> str:
    """Return the option of ansible-playbook that sets the channels."""
    mail = {**MAIL, "server": f"{NAME}:2525", "password": password}
    channels = [mail, {"kind": "webhook", "url": f"{POSTS}/webhook"}, {"kind": "slack", "url": f"{POSTS}/slack"}]
    path = folder / "channels.json"
    # Mark the password as !unsafe, because Ansible would otherwise evaluate its braces as a template.
    text = json.dumps({"monitoring_channels": channels, "monitoring_heartbeat_url": f"{POSTS}/beat"})
    path.write_text(text.replace(json.dumps(password), f"!unsafe {json.dumps(password)}"))
    return f"--extra-vars=@{path}"


def received(host: Host) -> list[dict[str, Any]]:
    """Return all messages that the servers have received, the oldest first."""
    texts = host.check_output("cd %s; for file in $(ls | grep json | sort); do cat $file; echo; done", FOLDER)
    return [json.loads(line) for line in texts.splitlines() if line]


def wait(host: Host, word: str, kinds: list[str], seconds: float) -> dict[str, dict[str, Any]]:
    """Wait until one message with `word` has arrived by each of the `kinds` of channel; return the messages by kind."""
    start = time.monotonic()
    while True:
        found = [each for each in received(host) if word in json.dumps(each)]
        if sorted({each["kind"] for each in found}) == sorted(kinds):
            # If the message is sent twice, the duplicate arrives within this time.
            time.sleep(5)
            found = [each for each in received(host) if word in json.dumps(each)]
            assert sorted(each["kind"] for each in found) == sorted(kinds), found
            return {each["kind"]: each for each in found}
        assert time.monotonic() - start < seconds, f"{word}: only {found} after {seconds} s"
        time.sleep(2)


@pytest.fixture(scope="module")
def channels(host: Host, machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start the mail and HTTP servers, and run site.yml with the channels; at the end, run it without them."""
    program = (Path(__file__).parent / "receivers.py").read_text()
    host.check_output(f"bash -c {shlex.quote(START)} <<'END'\n{program}\nEND")
    option = settings(tmp_path_factory.mktemp("channels"))
    assert PASSWORD not in machine.play(option, "--diff")
    yield option
    machine.play()
    host.check_output("bash -c %s", END)


def test_a_test_message_arrives_once_by_each_channel(
    host: Host, machine: Machine, channels: str, tmp_path: Path
) -> None:
    assert [name for name, each in machine.promises(tmp_path, channels).items() if each["state"] == "broken"] == []
    output = machine.play(channels, playbook="playbooks/alert-test.yml")
    for integration in ("email", "slack", "webhook"):
        assert f"1 test message delivered by {integration}." in output
    found = wait(host, "This is a test message", ["mail", "slack", "webhook"], 30)
    mail = found["mail"]
    assert (mail["to"], mail["from"], mail["tls"]) == (MAIL["to"], MAIL["from"], True)
    assert mail["subject"] == f"{HOST}: This is a test message of Trackbox. Nothing is wrong."
    [alert] = found["webhook"]["body"]["alerts"]
    assert alert["labels"]["host"] == HOST
    assert found["slack"]["body"]["attachments"][0]["title"] == mail["subject"]


def test_an_alert_and_its_end_arrive_once_by_each_channel(host: Host, machine: Machine, channels: str) -> None:
    every = ["mail", "slack", "webhook"]
    host.check_output("systemctl stop mlflow.socket mlflow")
    try:
        mail = wait(host, "mlflow.service does not run.", every, 240)["mail"]
    finally:
        host.check_output("systemctl start mlflow.socket mlflow")
    assert mail["subject"].startswith(f"{HOST}: ")
    assert "systemctl restart mlflow.service" in mail["text"]
    assert f"What is wrong now: {machine.url}/status/" in mail["text"]
    over = wait(host, "Over since ", ["mail", "slack"], 420)["mail"]
    assert over["subject"].startswith(f"{HOST}: over: mlflow.service does not run")


def test_a_heartbeat_goes_out_every_minute_and_ends_with_alertmanager(host: Host, channels: str) -> None:
    beats = [each["at"] for each in received(host) if each["kind"] == "beat"]
    pauses = [later - earlier for earlier, later in zip(beats[-5:], beats[-4:], strict=False)]
    assert len(pauses) == 4
    assert max(pauses) < 75
    assert min(pauses) > 45
    host.check_output("systemctl stop trackbox-alertmanager")
    try:
        time.sleep(75)
        assert max(each["at"] for each in received(host) if each["kind"] == "beat") < time.time() - 70
    finally:
        host.check_output("systemctl start trackbox-alertmanager")


def test_a_wrong_password_and_a_silent_webhook_are_named(
    host: Host, machine: Machine, channels: str, tmp_path: Path
) -> None:
    host.check_output("systemctl kill --signal=STOP receivers")
    try:
        output = machine.play(channels, playbook="playbooks/alert-test.yml", status=2)
    finally:
        host.check_output("systemctl kill --signal=CONT receivers")
    assert "1 test message not delivered by webhook." in output
    option = settings(tmp_path, "a wrong one")
    machine.play(option)
    output = machine.play(option, playbook="playbooks/alert-test.yml", status=2)
    assert "1 test message not delivered by email." in output
    assert "1 test message delivered by webhook." in output
    assert "535" in output
    assert "a wrong one" not in output


def test_passwords_are_readable_by_alertmanager_alone(host: Host, channels: str) -> None:
    found = host.check_output("stat --format='%U %G %a' /etc/trackbox/monitoring/alertmanager.yml")
    assert found == "root monitoring-alerts 640"
    assert host.run("runuser -u monitoring -- cat /etc/trackbox/monitoring/alertmanager.yml").rc != 0
    # Only services may connect to Alertmanager, because anybody who connects can silence an alert.
    assert host.run("runuser -u nobody -- curl --silent --max-time 5 http://127.0.0.1:9493/api/v2/silences").rc != 0


def test_a_machine_without_channels_is_named(machine: Machine) -> None:
    output = machine.play(playbook="playbooks/alert-test.yml", status=2)
    assert f"{HOST} has no channel for messages: set monitoring_channels, and run site.yml." in " ".join(output.split())
