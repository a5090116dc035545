"""Filters for monitoring's channels: they check the variables, and make Alertmanager's settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

# The required keys and the optional keys of each kind of channel.
KEYS = {
    "mail": (("to", "from", "server"), ("user", "password", "tls")),
    "webhook": (("url",), ()),
    "slack": (("url",), ()),
}
MAIL_ADDRESS = re.compile(r"[^@\s,<>]+@[^@\s,<>]+")
SERVER = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}")


def channel_problems(channels: Sequence[Mapping[str, Any]], heartbeat_url: str) -> list[str]:
    """Return an error message for each channel that cannot work, and one for a wrong URL of the heartbeat.

    channels: the variable monitoring_channels. heartbeat_url: monitoring_heartbeat_url. The messages show no URL and
    no password, because both can be secrets.
    """
    problems = []
    for number, channel in enumerate(channels):
        kind, place = channel["kind"], f"monitoring_channels[{number}], a channel of the kind {channel['kind']},"
        needed, possible = KEYS[kind]
        # A key without a value counts as missing.
        given = {key: value for key, value in channel.items() if value not in (None, "", [])}
        problems += [f"{place} needs the key {key}." for key in needed if key not in given]
        problems += [
            f"{place} has the key {key}, which belongs to another kind: remove it."
            for key in sorted(set(given) - {"kind", *needed, *possible})
        ]
        if "url" in needed and "url" in given and not is_url(given["url"]):
            problems.append(f"{place} has a url that is not http://HOST or https://HOST, with or without a path.")
        if kind == "mail":
            problems += mail_problems(place, given)
    if heartbeat_url and not is_url(heartbeat_url):
        problems.append("monitoring_heartbeat_url is not http://HOST or https://HOST, with or without a path.")
    return problems


def mail_problems(place: str, given: Mapping[str, Any]) -> list[str]:
    """Return an error message for each wrong value of a mail channel. place: the channel's name in the messages."""
    problems = [
        f"{place} names {address}: that is no mail address such as ops@example.com."
        for address in [*given.get("to", []), *([given["from"]] if "from" in given else [])]
        if not MAIL_ADDRESS.fullmatch(address)
    ]
    server = given.get("server", "")
    if server and not (SERVER.fullmatch(server) and 0 < int(server.rpartition(":")[2]) < 65536):
        problems.append(f"{place} has the server {server}: write HOST:PORT, such as mail.example.com:587.")
    if ("user" in given) != ("password" in given):
        problems.append(f"{place} has one of user and password: a login needs both.")
    if "password" in given and not wants_tls(given):
        problems.append(f"{place} would send its password without TLS: remove `tls: false`, or user and password.")
    return problems


def wants_tls(channel: Mapping[str, Any]) -> bool:
    """Return whether a mail server must offer TLS."""
    return str(channel.get("tls", True)).lower() not in ("false", "no", "0")


def channel_secrets(channels: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the passwords of the channels, by their names in messages. channels: the variable monitoring_channels."""
    return {
        f"the password of monitoring_channels[{number}]": channel["password"]
        for number, channel in enumerate(channels)
        if channel.get("password")
    }


def is_url(text: str) -> bool:
    """Return whether a text is an HTTP URL with a host and, if it has a port, with a valid one."""
    try:
        parts = urlsplit(text)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and not re.search(r"\s", text)
        )
    except ValueError:
        return False


def alertmanager_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of alertmanager.yml.

    given: `channels` and `heartbeat_url` as in channel_problems, `repeat_hours`, and `messages`, the path of the
    templates of messages.
    """
    # playbooks/alert-test.yml raises the alert AlertTest. Its message is sent at once, and contains no other alert.
    # There is no second message when the alert is over.
    receivers = [receiver("people", given["channels"], True), receiver("test", given["channels"], False)]
    routes: list[dict[str, Any]] = [
        {"matchers": ['alertname="AlertTest"'], "receiver": "test", "group_by": ["test"], "group_wait": "0s"}
    ]
    if given["heartbeat_url"]:
        receivers.append(
            {"name": "heartbeat", "webhook_configs": [{"url": given["heartbeat_url"], "send_resolved": False}]}
        )
        # Alertmanager repeats a message only when both intervals have passed, so group_interval must be short, too.
        times = {"group_wait": "0s", "group_interval": "1m", "repeat_interval": "30s"}
        routes.append({"matchers": ['alertname="Heartbeat"'], "receiver": "heartbeat", **times})
    return {
        "templates": [given["messages"]],
        "receivers": receivers,
        "route": {
            "receiver": "people",
            # Send all alerts with the same name in one message.
            "group_by": ["alertname"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": f"{given['repeat_hours']}h",
            "routes": routes,
        },
    }


def receiver(name: str, channels: Sequence[Mapping[str, Any]], resolved: bool) -> dict[str, Any]:
    """Return a receiver with all channels. resolved: whether a message is sent when an alert is over."""
    settings: dict[str, Any] = {"name": name}
    for channel in channels:
        key, made = MADE[channel["kind"]]
        settings.setdefault(key, []).append({**made(channel), "send_resolved": resolved})
    return settings


def mail(channel: Mapping[str, Any]) -> dict[str, Any]:
    """Return Alertmanager's settings of a mail channel."""
    login = {"auth_username": channel["user"], "auth_password": channel["password"]} if channel.get("user") else {}
    return {
        "to": ", ".join(channel["to"]),
        "from": channel["from"],
        "smarthost": channel["server"],
        **login,
        "require_tls": wants_tls(channel),
        "headers": {"Subject": '{{ template "trackbox.subject" . }}'},
        "html": "",
        "text": '{{ template "trackbox.text" . }}',
    }


def webhook(channel: Mapping[str, Any]) -> dict[str, Any]:
    """Return Alertmanager's settings of a webhook."""
    return {"url": channel["url"]}


def slack(channel: Mapping[str, Any]) -> dict[str, Any]:
    """Return Alertmanager's settings of a Slack channel."""
    subject = '{{ template "trackbox.subject" . }}'
    texts = {"title": subject, "fallback": subject, "text": '{{ template "trackbox.text" . }}'}
    return {"api_url": channel["url"], **texts, "title_link": "{{ .CommonLabels.status }}"}


#: For each kind of channel: the key in Alertmanager's settings, and the function that returns the settings under it.
MADE = {"mail": ("email_configs", mail), "webhook": ("webhook_configs", webhook), "slack": ("slack_configs", slack)}


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return a mapping from the name of each filter to its function."""
        return {
            "alertmanager_settings": alertmanager_settings,
            "channel_problems": channel_problems,
            "channel_secrets": channel_secrets,
        }
