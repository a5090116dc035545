"""The promises (checks of verify.yml) about NGINX's TLS: versions, ciphers and certificates."""

from __future__ import annotations

import socket
import ssl
import time
import warnings
from collections.abc import Iterator
from urllib.parse import urlsplit

from network import SECONDS, trust
from promises import Facts, Off, promise

OLD = {ssl.TLSVersion.TLSv1: "TLS 1.0", ssl.TLSVersion.TLSv1_1: "TLS 1.1"}
NEW = {ssl.TLSVersion.TLSv1_2: "TLS 1.2", ssl.TLSVersion.TLSv1_3: "TLS 1.3"}
# OpenSSL's list of ciphers that are broken, or that lack forward secrecy or authenticated encryption.
WEAK = "kRSA:SHA1:SHA256:SHA384:3DES:RC4:aNULL:eNULL:@SECLEVEL=0"


def addresses(its: Facts) -> list[tuple[str, int]]:
    """Return host and port of NGINX's two TLS servers: the server for MLflow, and the server for the S3 API."""
    if its["tls"] == "off":
        raise Off("nginx_tls is off")
    doors = [urlsplit(url) for url in (its["url"], its["s3_url"])]
    return [(str(door.hostname), door.port or 443) for door in doors]


def shake(address: tuple[str, int], context: ssl.SSLContext) -> ssl.SSLSocket:
    """Connect, do a TLS handshake, and close the connection."""
    with (
        socket.create_connection(address, timeout=SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=address[0]) as found,
    ):
        return found


def blind(version: ssl.TLSVersion, ciphers: str = "ALL:@SECLEVEL=0") -> ssl.SSLContext:
    """Return a TLS context for one version of TLS. It checks no certificate, and by default offers all ciphers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers(ciphers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    return context


def spoken(address: tuple[str, int], context: ssl.SSLContext) -> bool:
    """Return whether the server accepts a TLS handshake with this context."""
    try:
        shake(address, context)
    except (ssl.SSLError, ConnectionResetError):
        return False
    return True


@promise("nginx")
def tls_versions(its: Facts) -> Iterator[str]:
    """NGINX offers only TLS 1.2 and 1.3."""
    for address in addresses(its):
        yield from (
            f"port {address[1]} speaks {name}" for version, name in OLD.items() if spoken(address, blind(version))
        )
        yield from (
            f"port {address[1]} speaks no {name}"
            for version, name in NEW.items()
            if not spoken(address, blind(version))
        )


@promise("nginx")
def tls_ciphers(its: Facts) -> Iterator[str]:
    """NGINX accepts only ciphers with forward secrecy and authentication."""
    context = blind(ssl.TLSVersion.TLSv1_2, WEAK)
    weak = [cipher["name"] for cipher in context.get_ciphers() if "TLS_" not in cipher["name"]]
    context.set_ciphers(
        ":".join(name for name in weak if not ("DHE" in name and ("GCM" in name or "POLY" in name))) + ":@SECLEVEL=0"
    )
    for address in addresses(its):
        if spoken(address, context):
            yield f"port {address[1]} agrees to one without"


@promise("nginx")
def tls_certificate(its: Facts) -> Iterator[str]:
    """NGINX's certificate is for this host name, from an authority that the clients trust, and does not expire soon."""
    for address in addresses(its):
        with (
            socket.create_connection(address, timeout=SECONDS) as plain,
            trust(its).wrap_socket(plain, server_hostname=address[0]) as found,
        ):
            certificate = found.getpeercert() or {}
        days = (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) / 86400
        if days < its["days"]:
            yield f"that of port {address[1]} ends in {days:.0f} days"
