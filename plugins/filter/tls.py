"""Filters about NGINX's TLS: checks of the settings, why certbot failed, and whether NGINX has to restart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import ip_network
from itertools import pairwise
from typing import Any

LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DNS_NAME = rf"({LABEL}\.)+[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?"


def acme_problems(host: str, directory: str, email: str) -> Iterator[str]:
    """Yield an error message for each setting with which no ACME server would issue a certificate."""
    if not re.fullmatch(DNS_NAME, host.lower()):
        yield (
            f"trackbox_host is {host}, and nginx_tls acme needs a name in the DNS: set one that leads to the machine, "
            "or choose another nginx_tls."
        )
    if not re.fullmatch(r"https://[^\s]+", directory):
        yield f"nginx_acme_directory is {directory!r}: give it the URL of the ACME server's directory, https://…."
    if email and not re.fullmatch(r"[^@\s]+@[^@\s]+", email):
        yield f"nginx_acme_email is {email!r}: give it one address for mail, or leave it empty."


def proxy_problems(proxies: Sequence[str]) -> Iterator[str]:
    """Yield an error message for each proxy that is neither an address nor a network, or that covers all addresses."""
    for proxy in proxies:
        try:
            network = ip_network(proxy, strict=False)
        except ValueError:
            yield f"nginx_trusted_proxies: {proxy!r} is no address: write it as 192.0.2.10, a network as 192.0.2.0/24."
            continue
        if network.prefixlen == 0:
            yield f"nginx_trusted_proxies: {proxy} is everybody, who could claim any origin: name the proxies alone."


def tls_problems(mode: str, host: str, directory: str, email: str, proxies: Sequence[str]) -> list[str]:
    """Return an error message for each setting that does not fit the mode of TLS.

    mode: nginx_tls. host: trackbox_host. directory: nginx_acme_directory. email: nginx_acme_email. proxies:
    nginx_trusted_proxies.
    """
    problems = list(proxy_problems(proxies))
    if mode == "acme":
        problems += acme_problems(host, directory, email)
    if mode == "off" and not proxies:
        problems.append(
            "nginx_tls is off, and nginx_trusted_proxies is empty, so NGINX would refuse every client: name the "
            "addresses of the proxies that do TLS."
        )
    return problems


def acme_reason(journal: str) -> str:
    """Return why certbot got no certificate: the ACME server's reason in certbot's journal, or else certbot's error."""
    lines = [line.strip() for line in journal.splitlines() if line.strip()]
    details = [line.partition("Detail:")[2].strip() for line in lines if "Detail:" in line]
    errors = [after for line, after in pairwise(lines) if line.endswith("error occurred:")]
    return (details or errors or lines[-1:] or ["certbot said nothing"])[0][:400].rstrip(".")


def must_rebind(listening: Sequence[Mapping[str, Any]], port: int, mode: str) -> bool:
    """Return whether NGINX must restart, because a reload cannot change a port from loopback to all addresses, or back.

    listening: the fact `tcp_listen`. port: trackbox_https_port. mode: nginx_tls. With `off`, NGINX opens the port on
    loopback only, otherwise on all addresses.
    """
    found = {entry["address"] for entry in listening if (entry["name"], entry["port"]) == ("nginx", port)}
    return found & {"0.0.0.0", "127.0.0.1"} == {"0.0.0.0" if mode == "off" else "127.0.0.1"}


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return a mapping from the name of each filter to its function."""
        return {"acme_reason": acme_reason, "must_rebind": must_rebind, "tls_problems": tls_problems}
