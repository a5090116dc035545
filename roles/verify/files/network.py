"""What the promises outside the machine try it with."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from promises import Facts

SECONDS = 10.0


@dataclass(frozen=True)
class Answer:
    """What a server answered; headers by their names in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes


def trust(its: Facts) -> ssl.SSLContext:
    """Return a context that trusts whom the clients trust: the installation's own authority, or everybody's."""
    return ssl.create_default_context(cafile=its["ca"] or None)


def ask(
    its: Facts,
    path: str,
    *,
    url: str = "",
    method: str = "GET",
    user: tuple[str, str] | None = None,
    body: str = "",
    **headers: str,
) -> Answer:
    """Send a request to the front door or to `url`, the path as it is; return the answer. user: name and password."""
    base = urlsplit(url or its["url"])
    address = (str(base.hostname), base.port or {"http": 80, "https": 443}[base.scheme])
    connection: Any
    if base.scheme == "https":
        connection = http.client.HTTPSConnection(*address, timeout=SECONDS, context=trust(its))
    else:
        connection = http.client.HTTPConnection(*address, timeout=SECONDS)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if user:
        sent["Authorization"] = "Basic " + base64.b64encode(":".join(user).encode()).decode()
    try:
        connection.request(method, path, body or None, sent)
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()


def signed(its: Facts, path: str, key: str, secret: str) -> Answer:
    """Send a GET request to the S3 API with a signature (AWS, version 4); the path's parameters are in order."""
    host = urlsplit(its["s3_url"]).netloc
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{now[:8]}/{its['region']}/s3/aws4_request"
    empty = hashlib.sha256(b"").hexdigest()
    names = "host;x-amz-content-sha256;x-amz-date"
    name, _, query = path.partition("?")
    request = f"GET\n{name}\n{query}\nhost:{host}\nx-amz-content-sha256:{empty}\nx-amz-date:{now}\n\n{names}\n{empty}"
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    derived = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), text):
        derived = hmac.digest(derived, part.encode(), "sha256")
    authorization = f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, Signature={derived.hex()}"
    return ask(its, path, url=its["s3_url"], x_amz_content_sha256=empty, x_amz_date=now, Authorization=authorization)


def is_open(address: str, port: int, seconds: float = 2.0) -> bool:
    """Return whether somebody takes a connection."""
    try:
        socket.create_connection((address, port), timeout=seconds).close()
    except OSError:
        return False
    return True


def open_ports(address: str, ports: list[int]) -> list[int]:
    """Return those of the ports that take a connection; all are tried at once."""
    with ThreadPoolExecutor(len(ports)) as pool:
        return [
            port
            for port, found in zip(ports, pool.map(lambda port: is_open(address, port), ports), strict=False)
            if found
        ]
