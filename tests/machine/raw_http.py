"""HTTP over a TLS socket: requests that no library would send, and their responses."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import yaml
from machine import ROOT, Machine

# NGINX's own error pages contain OWN_PAGE. OWN_ANSWERS are its error responses in MLflow's JSON format. Every other
# response comes from a service behind NGINX.
OWN_PAGE = b"<center>nginx</center>"
OWN_ANSWERS = {
    status: {"error_code": code, "message": message}
    for status, (code, message) in yaml.safe_load((ROOT / "roles/nginx/vars/main.yml").read_text())[
        "__nginx_answers"
    ].items()
}


@dataclass(frozen=True)
class Reply:
    """An HTTP response."""

    status: int
    head: bytes
    body: bytes


def connect(machine: Machine, port: int = 443, protocols: Sequence[str] = ()) -> ssl.SSLSocket:
    """Connect to a port with TLS, and check the certificate, because these tests do not attack TLS.

    protocols: the protocols that the client offers by ALPN.
    """
    trust = ssl.create_default_context(cafile=str(machine.secrets / "ca.crt"))
    if protocols:
        trust.set_alpn_protocols(list(protocols))
    return trust.wrap_socket(socket.create_connection((machine.address, port), timeout=10), server_hostname="localhost")


def exchange(machine: Machine, sent: bytes, *, port: int = 443, quiet: float = 1.0) -> list[Reply]:
    """Send these bytes; return all responses until the server closes the connection or pauses for `quiet` seconds."""
    got = b""
    with connect(machine, port) as line:
        line.settimeout(quiet if b"Connection: close" not in sent else 10)
        try:
            line.sendall(sent)
            while part := line.recv(65536):
                got += part
        except (TimeoutError, ConnectionError, ssl.SSLError):
            pass
    return list(parse(got))


def parse(got: bytes) -> Iterable[Reply]:
    """Yield each HTTP response of a stream of bytes."""
    while b"\r\n\r\n" in got:
        head, _, rest = got.partition(b"\r\n\r\n")
        status = int(head.split(maxsplit=2)[1])
        length = re.search(rb"(?im)^content-length: *(\d+)", head)
        if length:
            size = int(length[1])
            body, got = rest[:size], rest[size:]
        elif re.search(rb"(?im)^transfer-encoding: *chunked", head):
            body, _, got = rest.partition(b"0\r\n\r\n")
        else:
            body, got = rest, b""
        yield Reply(status, head, body)


def is_refusal(reply: Reply) -> bool:
    """Return whether NGINX itself refused the request, so that the request reached no service."""
    return reply.status >= 300 and (
        OWN_PAGE in reply.body or reply.body in (b"", b"not ready\n") or is_own_answer(reply)
    )


def is_own_answer(reply: Reply) -> bool:
    """Return whether a response body is exactly NGINX's own error message for this status."""
    try:
        return json.loads(reply.body) == OWN_ANSWERS.get(reply.status)
    except ValueError:
        return False


def attack(machine: Machine, attacks: Counter[str], requests: Iterable[bytes], port: int = 443) -> list[str]:
    """Send each request on its own connection; return the requests that reached a service behind NGINX."""

    def one(request: bytes) -> list[str]:
        return [
            f"{request[:200]!r} -> {reply.status} {reply.body[:100]!r}"
            for reply in exchange(machine, request, port=port)
            if not is_refusal(reply)
        ]

    requests = list(requests)
    attacks["network"] += len(requests)
    with ThreadPoolExecutor(32) as pool:
        return [line for lines in pool.map(one, requests) for line in lines]


def request(machine: Machine, method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    """Return the bytes of a request that asks the server to close the connection."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {machine.address}", "Connection: close", *headers]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
