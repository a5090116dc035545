"""NGINX slows down logins of a source and user name only after wrong passwords, and disconnects slow clients."""

import re
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest
from machine import Machine
from raw_http import connect
from testinfra.host import Host


@pytest.fixture
def admin(machine: Machine) -> dict[str, str]:
    """Return the admin's name and password."""
    return {"user": "admin", "password": machine.secret("admin_password")}


def test_a_source_that_guesses_is_slowed_down_and_then_refused(machine: Machine, admin: dict[str, str]) -> None:
    start = time.monotonic()
    with ThreadPoolExecutor(40) as pool:
        statuses = list(pool.map(lambda n: machine.ask("/", user="training", password=f"wrong {n}").status, range(40)))
        # NGINX sends five responses to failed logins a second, so 40 responses take about 8 s.
        assert time.monotonic() - start > 5
        assert set(statuses) == {401}
        guesses = [pool.submit(machine.ask, "/", user="training", password=f"wrong {n}") for n in range(40)]
        time.sleep(0.5)
        # Neither another name from the same source nor a request without a password is slowed down.
        began = time.monotonic()
        assert machine.ask("/version", **admin).status == 200
        assert machine.ask("/").status == 401
        assert time.monotonic() - began < 3
        assert {guess.result().status for guess in guesses} == {401}


def test_more_concurrent_requests_than_allowed_get_429_with_retry_after(machine: Machine) -> None:
    login = "dHJhaW5pbmc6d3Jvbmc="  # training:wrong, in base64
    request = f"GET / HTTP/1.1\r\nHost: {machine.address}\r\nAuthorization: Basic {login}\r\n\r\n".encode()
    refused = []
    with ExitStack() as stack:
        lines = [stack.enter_context(connect(machine)) for _ in range(160)]
        for line in lines:
            line.sendall(request)
        time.sleep(2)
        for line in lines:
            line.settimeout(0)
            with suppress(ssl.SSLWantReadError):
                head = line.recv(4096)
                refused += [head] if head.startswith(b"HTTP/1.1 429 ") else []
    # 160 requests exceed the limit of 128 by 32. Some requests end before the last one arrives, so fewer are refused.
    assert 10 <= len(refused) <= 32
    assert all(b"Retry-After: 5" in head for head in refused)


@pytest.fixture
def slow(machine: Machine) -> Iterator[list[ssl.SSLSocket]]:
    """Open 300 connections that start a request and send nothing more."""
    with ExitStack() as stack:
        lines = [stack.enter_context(connect(machine)) for _ in range(300)]
        for line in lines:
            line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        yield lines


def test_slow_clients_are_disconnected_and_block_nobody(
    machine: Machine, admin: dict[str, str], slow: list[ssl.SSLSocket]
) -> None:
    assert machine.ask("/version", **admin).status == 200
    slow[0].settimeout(25)
    assert ends(slow[0])


def ends(line: ssl.SSLSocket) -> bool:
    """Return whether the server closes the connection; False if it sends a response."""
    try:
        return line.recv(1000) == b""
    except (ConnectionResetError, ssl.SSLEOFError):
        return True


def test_a_header_that_is_too_large_is_refused(machine: Machine) -> None:
    with connect(machine) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")
        assert line.recv(100).split()[1] in (b"400", b"414", b"431")


def test_the_log_names_the_source_of_wrong_passwords(machine: Machine, host: Host) -> None:
    machine.ask("/", user="admin", password="wrong")
    said = host.check_output("tail -n 20 /var/log/nginx/error.log")
    # The log may contain an error that the user was not found, because NGINX's password file contains no users with
    # generated passwords.
    assert re.search(r'user "admin"(: password mismatch| was not found in "[^"]+"), client: 10\.83\.', said)
