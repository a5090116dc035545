"""Which Host headers are the machine's own: in any case, with HTTPS's port and with a dot at the end, and no others."""

from __future__ import annotations

import base64
import re
from collections import Counter

import pytest
from machine import Machine
from raw_http import exchange

PATHS = ["/api/2.0/mlflow/experiments/search?max_results=1", "/ajax-api/3.0/mlflow/server-info", "/#"]
OWN = [
    "{address}",
    "{address}:443",
    "{address}.",
    "{address}.:443",
    "localhost",
    "LOCALHOST",
    "LocalHost:443",
    "localhost.",
]
OWN += ["TRACKBOX.TEST", "trackbox.Test:443", "trackbox.test.:443"]
FOREIGN = [
    "evil.example",
    "{address}:444",
    "{address}:8443",
    "localhost:5001",
    "localhost.evil.example",
    "{address}.evil.example",
]
FOREIGN += [
    "evil.example:443",
    "localhost:443.evil.example",
    "xlocalhost",
    "localhost:443:443",
    "localhost@evil.example",
    "",
    "*",
]
FOREIGN += ["[::1]", "localhost..", ".localhost", "local host", "localhost,evil.example", "localhost/", "_"]


def request(machine: Machine, path: str, line: str) -> bytes:
    """A request by the admin with this line for its Host header; nothing for none."""
    login = base64.b64encode(f"admin:{machine.secret('admin_password')}".encode()).decode()
    host = f"{line}\r\n" if line else ""
    return f"GET {path} HTTP/1.1\r\n{host}Authorization: Basic {login}\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", OWN)
def test_the_machines_own_names_are_known_in_every_spelling(machine: Machine, path: str, host: str) -> None:
    [reply] = exchange(
        machine, request(machine, path.removesuffix("#"), f"Host: {host.format(address=machine.address)}")
    )
    assert reply.status == 200, reply.body


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_host_is_refused(machine: Machine, attacks: Counter[str], host: str) -> None:
    attacks["network"] += 1
    [reply] = exchange(machine, request(machine, PATHS[0], f"Host: {host.format(address=machine.address)}"))
    assert reply.status in (400, 403), (host, reply.body)


def test_no_host_and_two_hosts_are_refused(machine: Machine, attacks: Counter[str]) -> None:
    for lines in ("", "Host: localhost\r\nHost: evil.example", "Host: evil.example\r\nHost: localhost"):
        attacks["network"] += 1
        [reply] = exchange(machine, request(machine, PATHS[0], lines))
        assert reply.status in (400, 403), lines


def test_the_host_in_the_requests_line_is_the_one_that_counts(machine: Machine, attacks: Counter[str]) -> None:
    attacks["network"] += 1
    for target, host, status in (("evil.example", "localhost", 403), ("localhost", "localhost", 200)):
        [reply] = exchange(machine, request(machine, f"https://{target}{PATHS[0]}", f"Host: {host}"))
        assert reply.status == status


S3 = ["127.0.0.1:9000", "127.0.0.1.:9000", "127.0.0.1:09000", "127.0.0.1:0009000", "127.0.0.1.:09000"]


@pytest.mark.parametrize("host", S3)
def test_nobody_brings_an_address_of_the_machines_own_to_s3(machine: Machine, attacks: Counter[str], host: str) -> None:
    attacks["network"] += 1
    [reply] = exchange(
        machine, f"GET /mlflow HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode(), port=9443
    )
    # MinIO's own refusal would be XML: NGINX does not ask it.
    assert (reply.status, re.search(rb"<Error>", reply.body)) == (403, None)
