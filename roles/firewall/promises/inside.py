"""The promises (checks of verify.yml) about the firewall: open ports, and users who may connect on loopback."""

from __future__ import annotations

import json
import pwd
import re
import socket
from collections.abc import Iterator
from typing import Any

from promises import Facts, Off, promise
from tools import output, sha256, show

# A Python program that connects to a loopback port as another user. It fails if the firewall rejects the connection.
KNOCK = "import os, socket, sys; os.setgid({gid}); os.setuid({uid}); socket.create_connection(('127.0.0.1', {port}), 3)"


def on(its: Facts) -> None:
    """Switch the promise off, by raising Off, if the settings disable the firewall."""
    if not its["enabled"]:
        raise Off("firewall_enabled is false")


@promise("firewall")
def firewall_runs(its: Facts) -> Iterator[str]:
    """The firewall is loaded, at boot too."""
    on(its)
    found = show("trackbox-firewall.service", "ActiveState", "UnitFileState")
    if found["ActiveState"] != "active" or found["UnitFileState"] != "enabled":
        yield f"trackbox-firewall is {found['ActiveState']} and {found['UnitFileState'] or 'not installed'}"


@promise("firewall")
def firewall_as_written(its: Facts) -> Iterator[str]:
    """The firewall's table matches the settings, on disk and in the kernel."""
    on(its)
    if sha256(its["table"]) != its["sha256"]:
        yield f"{its['table']} is another"
    if loaded() != wanted(its["table"]):
        yield "the kernel has other rules than the file: systemctl reload trackbox-firewall"


def loaded() -> list[Any]:
    """Return the rules of Trackbox's table in the kernel."""
    return rules(output("nft", "--json", "list", "table", "inet", "trackbox"))


def wanted(path: str) -> list[Any]:
    """Return the rules in the file. For this, nft loads and lists them in a temporary network namespace."""
    script = 'nft --file "$1" && nft --json list table inet trackbox'
    return rules(output("unshare", "--net", "sh", "-c", script, "sh", path))


def rules(text: str) -> list[Any]:
    """Return the rules in nft's JSON output, without handles, which change with each loading."""
    plain: list[Any] = json.loads(text, object_hook=lambda part: {k: v for k, v in part.items() if k != "handle"})[
        "nftables"
    ]
    return [part for part in plain if "metainfo" not in part]


@promise("firewall")
def firewall_drops(its: Facts) -> Iterator[str]:
    """The firewall drops connections to all other ports."""
    on(its)
    shown = output("nft", "list", "chain", "inet", "trackbox", "input")
    if "policy drop" not in shown:
        yield "what no rule names is let in"
    # A rule contains one port, a range of ports, or several of them in braces.
    opened = re.findall(r"[\d-]+", " ".join(re.findall(r"tcp dport (\S+|{[^}]*}) accept", shown)))
    yield from (f"port {port} is open" for port in opened if port not in map(str, its["ports"]))


@promise("firewall")
def loopback_guarded(its: Facts) -> Iterator[str]:
    """The firewall lets only permitted users connect to the services on loopback."""
    on(its)
    nobody = pwd.getpwnam("nobody")
    for port in its["inside"]:
        try:
            output("python3", "-I", "-c", KNOCK.format(uid=nobody.pw_uid, gid=nobody.pw_gid, port=port))
        except RuntimeError:
            continue
        yield f"nobody connects to port {port}"


@promise("firewall")
def services_meet(its: Facts) -> Iterator[str]:
    """The firewall lets the services connect to each other on loopback."""
    on(its)
    for port in its["inside"]:
        try:
            socket.create_connection(("127.0.0.1", port), 3).close()
        except OSError as error:
            yield f"port {port}: {error}"
