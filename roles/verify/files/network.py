"""Helpers of the promises that are checked from the controller: requests, S3 signatures and port scans."""

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
    """A server's response. headers: by their names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def trust(its: Facts) -> ssl.SSLContext:
    """Return a TLS context that trusts the same authorities as clients: the installation's own, or the public ones."""
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
    """Send a request to NGINX or to `url`; return the response. path: sent unchanged. user: name and password."""
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
    """Send a GET request to the S3 API, signed with AWS Signature Version 4. path: with sorted query parameters."""
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
    """Return whether the port accepts a connection within `seconds`."""
    try:
        socket.create_connection((address, port), timeout=seconds).close()
    except OSError:
        return False
    return True


def open_ports(address: str, ports: list[int]) -> list[int]:
    """Return the ports that accept a connection. All ports are tried at once."""
    with ThreadPoolExecutor(len(ports)) as pool:
        return [
            port
            for port, found in zip(ports, pool.map(lambda port: is_open(address, port), ports), strict=False)
            if found
        ]
