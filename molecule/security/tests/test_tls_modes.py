"""One machine is switched to each of the four TLS modes, as a user would do it, and at the end to the first mode again.

In each mode the tests check the certificate that clients outside get, unmodified clients with the settings of
`secrets/env`, and training on the machine. In modes with renewal, the certificate is renewed while clients send
requests, and no request fails.
"""

from __future__ import annotations

import json
import shlex
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from external_servers import acme_server, ocsp_responder, tls_proxy
from machine import PROMISES as ALL_PROMISES
from machine import Machine
from pki import Signed, sign
from public_view import NAME, NAMED, PublicView
from testinfra.host import Host

RENEW = "systemctl start trackbox-certificate"
# The promises (checks of verify.yml) about NGINX and files. The results of other promises do not depend on the mode.
PROMISES = [name for name in ALL_PROMISES if name.startswith(("nginx", "door", "tls", "http", "s3", "host", "ports"))]
PROMISES += ["settings_private", "keys_private", "administration_closed", "no_secret_in_files", "minio_users"]
NEEDS_TLS = ["http_redirects", "tls_versions", "tls_ciphers", "tls_certificate"]
ISSUER = "openssl s_client -connect {} </dev/null 2>/dev/null | openssl x509 -noout -issuer"


@pytest.fixture(scope="module")
def controller(host: Host) -> str:
    """Return the IP address from which the controller connects to the machine."""
    return host.check_output('echo "${SSH_CONNECTION%% *}"')


@pytest.fixture(scope="module", autouse=True)
def back_again(machine: Machine, host: Host) -> Iterator[None]:
    """Restore the machine's TLS settings after the tests, even after a failure."""
    before = host.check_output("cat /etc/nginx/nginx.conf")
    yield
    machine.play("--tags=tls")
    assert host.check_output("cat /etc/nginx/nginx.conf") == before


def check(machine: Machine, host: Host, seen: PublicView, mode: dict[str, Any]) -> None:
    """Check the promises, the training command and the clients in a TLS mode. mode: the variables of the mode."""
    settings = {**mode, "verify_only": ",".join(PROMISES)}
    # Run verify.yml and the training command in the background, because they mostly wait for responses.
    with ThreadPoolExecutor(2) as pool:
        looking = pool.submit(
            machine.promises, seen.hosts.parent, "--extra-vars", json.dumps(settings), within=[*NAMED, str(seen.hosts)]
        )
        training = pool.submit(host.run, "fraud data list --json && fraud promote --dry-run")
        assert "200 OK" in seen.ask("/healthz")
        assert "401 Unauthorized" in seen.ask("/")
        seen.check_clients()
        own = training.result()
        assert "comparison" in own.stdout + own.stderr, own.stdout + own.stderr
        off = [name for name, found in looking.result().items() if found["state"] == "off"]
    assert off == (NEEDS_TLS if mode.get("nginx_tls") == "off" else [])
    for address in ("127.0.0.1:443", "localhost:9443"):
        assert "Trackbox CA" in host.check_output(ISSUER.format(address))
    assert (machine.secrets / "ca.crt").exists() == ("AWS_CA_BUNDLE" in seen.settings)


def check_tls(seen: PublicView) -> None:
    """Check ports, redirect and HSTS header in the modes in which NGINX terminates TLS."""
    assert seen.certificate(443) == seen.certificate(9443)
    assert f"Location: https://{seen.host}/a?b\r\n" in seen.ask("/a?b", port=80)
    assert "Strict-Transport-Security: max-age=" in seen.ask("/")
    assert "Strict-Transport-Security: max-age=" in seen.ask("/", port=9443)


def renew(seen: PublicView, host: Host, command: str, times: int = 3) -> None:
    """Renew the certificate repeatedly under load; check that each new certificate is served and no request fails."""
    with seen.load():
        serials = [seen.certificate().serial_number]
        for _ in range(times):
            host.check_output(command)
            time.sleep(0.5)
            serials.append(seen.certificate().serial_number)
    assert len(set(serials)) == times + 1


def test_self_signed(machine: Machine, host: Host, controller: str, tmp_path: Path) -> None:
    seen = PublicView(machine, tmp_path, machine.address)
    check(machine, host, seen, {})
    check_tls(seen)
    seen.ask("/forged", "X-Forwarded-For: 203.0.113.9")
    line = json.loads(host.check_output("grep forged /var/log/nginx/access.log | tail -n 1"))
    assert line["source"] == controller
    assert "application/pkix-crl" in seen.ask("/ca.crl", port=80)
    renew(seen, host, f"rm /etc/trackbox/nginx/server.names && {RENEW}")


def test_provided(machine: Machine, host: Host, controller: str, tmp_path: Path) -> None:
    root = sign("Example Root")
    between = sign("Example R3", root)
    (tmp_path / "root.crt").write_text(root.pem)
    variables = {"nginx_tls": "provided", "trackbox_ca_certificate": str(tmp_path / "root.crt")}
    variables |= {f"nginx_certificate{part}": str(tmp_path / f"chain{part}.pem") for part in ("", "_key")}

    def install() -> Signed:
        made = sign("vm", between, names=[machine.address], responder=f"http://{controller}:8888")
        (tmp_path / "chain.pem").write_text(made.pem + between.pem)
        (tmp_path / "chain_key.pem").write_text(made.key())
        machine.play("--tags=tls", "--extra-vars", json.dumps(variables))
        return made

    first = install()
    seen = PublicView(machine, tmp_path, machine.address)
    assert seen.certificate() == first.certificate
    with ocsp_responder(tmp_path, between, first, 8888):
        deadline = time.monotonic() + 10
        while "Cert Status: good" not in (said := seen.stapled()):
            assert time.monotonic() < deadline, said
            time.sleep(0.2)
    check(machine, host, seen, variables)
    check_tls(seen)
    with seen.load():
        second = install()
    assert seen.certificate() == second.certificate != first.certificate
    # Simulate a certificate of a public authority: the controller trusts the authority (SSL_CERT_FILE), so no variable
    # names its certificate, and the secrets contain no ca.crt.
    (machine.secrets / "ca.crt").unlink()
    del variables["trackbox_ca_certificate"]
    options = ["--extra-vars", json.dumps({**variables, "verify_only": "tls_certificate"})]
    machine.promises(tmp_path, *options, within=["env", f"SSL_CERT_FILE={tmp_path}/root.crt"])


def test_off(machine: Machine, host: Host, controller: str, tmp_path: Path) -> None:
    root = sign("Proxy Root")
    (tmp_path / "root.crt").write_text(root.pem)
    variables: dict[str, Any] = {"nginx_tls": "off", "nginx_trusted_proxies": [controller], "trackbox_host": NAME}
    variables |= {"trackbox_ca_certificate": str(tmp_path / "root.crt")}
    machine.play("--tags=tls", "--extra-vars", json.dumps(variables))
    with tls_proxy(tmp_path, sign("proxy", root, names=[NAME]), controller, machine.address, {443: 80, 9443: 9443}):
        seen = PublicView(machine, tmp_path, controller)
        check(machine, host, seen, variables)
        assert "Strict-Transport-Security" not in seen.ask("/")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((machine.address, 443), 5)
    seen.address = machine.address
    seen.ask("/proxied", "X-Forwarded-For: 203.0.113.9", port=80)
    line = json.loads(host.check_output("grep proxied /var/log/nginx/access.log | tail -n 1"))
    assert line["source"] == "203.0.113.9"
    for port in (80, 9443):
        ask = f"exec 3<>/dev/tcp/{machine.address}/{port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; head -n 1 <&3"
        assert " 403 " in host.check_output(f"bash -c {shlex.quote(ask)}")


def test_acme(machine: Machine, host: Host, controller: str, tmp_path: Path) -> None:
    # Delete the ACME account of an earlier run, because the new ACME server does not know it.
    host.check_output("rm -rf /var/lib/trackbox/acme /etc/trackbox/nginx/acme*")
    with acme_server(tmp_path, controller, machine.address) as variables:
        variables |= {"nginx_tls": "acme", "trackbox_host": NAME}
        machine.play("--tags=tls", "--extra-vars", json.dumps(variables))
        seen = PublicView(machine, tmp_path, machine.address)
        assert "Pebble" in seen.certificate().issuer.rfc4514_string()
        # Pebble's certificates are valid for 10 days, and verify.yml demands 14 days by default.
        check(machine, host, seen, variables | {"verify_certificate_days": 0})
        check_tls(seen)
        assert "404 Not Found" in seen.ask("/.well-known/acme-challenge/", port=80)
        renew(seen, host, RENEW)
    # The ACME server is down now, so a renewal must fail and keep the old certificate.
    serial = seen.certificate().serial_number
    assert host.run(RENEW).rc != 0
    host.check_output("systemctl reset-failed trackbox-certificate")
    assert seen.certificate().serial_number == serial
