"""Clients that request objects but read no responses use limited memory of NGINX. Other clients are still served."""

from __future__ import annotations

import json
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from machine import Machine
from testinfra.host import Host

# Limits of roles/minio/templates/s3.j2: concurrent requests of one address, and memory of each request in MB.
REQUESTS_AT_ONCE, EACH_MB = 256, 2
READERS = REQUESTS_AT_ONCE + 44
KEY = "slow-readers.bin"


@pytest.fixture
def url(machine: Machine) -> Iterator[str]:
    """Yield the presigned URL of an object of 16 MB; remove the object after the test."""
    login = ("training", machine.secret("training_s3_secret"))
    machine.run_client("client_put.py", *login, f"datasets/{KEY}", str(16 << 20))
    [found] = json.loads(machine.run_client("client_presign.py", *login, f"datasets/{KEY}", "600"))
    yield found
    machine.run_client("client_s3.py", *login, f"delete_object Bucket=datasets Key={KEY}")


def memory(host: Host) -> int:
    """Return the memory of NGINX's processes in MB."""
    files = "cat $(printf '/proc/%s/smaps_rollup ' $(pgrep -x nginx))"
    return int(host.check_output(f"{files} | awk '/^Pss:/ {{sum += $2}} END {{print int(sum / 1024)}}'"))


def test_readers_that_stop_reading_use_limited_memory(machine: Machine, host: Host, url: str) -> None:
    parts = urlsplit(url)
    request = f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    trust = ssl.create_default_context(cafile=str(machine.secrets / "ca.crt"))
    before, first = memory(host), Counter[bytes]()
    with ExitStack() as opened:
        readers = []
        for _ in range(READERS):
            plain = socket.socket()
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            plain.settimeout(30)
            plain.connect((machine.address, parts.port))
            readers.append(opened.enter_context(trust.wrap_socket(plain, server_hostname=machine.address)))
            readers[-1].sendall(request)
        for reader in readers:
            answer = reader.recv(4000)
            first[answer.split(b"\r\n")[0]] += 1
            assert answer.startswith(b"HTTP/1.1 200") or b"<Code>SlowDown</Code>" in answer
        used = memory(host) - before
        # Requests to NGINX's other port, 443, are still served.
        assert machine.ask("/healthz").status == 200
    print(first, used)
    assert first == {b"HTTP/1.1 200 OK": REQUESTS_AT_ONCE, b"HTTP/1.1 503 Service Temporarily Unavailable": 44}
    assert used < REQUESTS_AT_ONCE * EACH_MB
    assert machine.ask(f"{parts.path}?{parts.query}", url=f"{parts.scheme}://{parts.netloc}").status == 200
