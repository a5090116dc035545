"""NGINX accepts only the machine's own names in the Host header. Upper case, port 443 and a final dot are allowed."""

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
    """Return a request of the admin. line: the Host header; "" omits it."""
    login = base64.b64encode(f"admin:{machine.secret('admin_password')}".encode()).decode()
    host = f"{line}\r\n" if line else ""
    return f"GET {path} HTTP/1.1\r\n{host}Authorization: Basic {login}\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", OWN)
def test_the_machines_own_names_are_accepted_in_every_spelling(machine: Machine, path: str, host: str) -> None:
    [reply] = exchange(
        machine, request(machine, path.removesuffix("#"), f"Host: {host.format(address=machine.address)}")
    )
    assert reply.status == 200, reply.body


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_host_is_refused(machine: Machine, attacks: Counter[str], host: str) -> None:
    attacks["network"] += 1
    [reply] = exchange(machine, request(machine, PATHS[0], f"Host: {host.format(address=machine.address)}"))
    assert reply.status in (400, 403), (host, reply.body)


def test_a_missing_and_a_double_host_are_refused(machine: Machine, attacks: Counter[str]) -> None:
    for lines in ("", "Host: localhost\r\nHost: evil.example", "Host: evil.example\r\nHost: localhost"):
        attacks["network"] += 1
        [reply] = exchange(machine, request(machine, PATHS[0], lines))
        assert reply.status in (400, 403), lines


def test_the_host_in_the_request_line_overrides_the_header(machine: Machine, attacks: Counter[str]) -> None:
    attacks["network"] += 1
    for target, host, status in (("evil.example", "localhost", 403), ("localhost", "localhost", 200)):
        [reply] = exchange(machine, request(machine, f"https://{target}{PATHS[0]}", f"Host: {host}"))
        assert reply.status == status


S3 = ["127.0.0.1:9000", "127.0.0.1.:9000", "127.0.0.1:09000", "127.0.0.1:0009000", "127.0.0.1.:09000"]


@pytest.mark.parametrize("host", S3)
def test_s3_refuses_loopback_names_as_host(machine: Machine, attacks: Counter[str], host: str) -> None:
    attacks["network"] += 1
    [reply] = exchange(
        machine, f"GET /mlflow HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode(), port=9443
    )
    # MinIO's error message would be XML, so its absence shows that NGINX refused the request itself.
    assert (reply.status, re.search(rb"<Error>", reply.body)) == (403, None)
