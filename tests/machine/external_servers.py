"""Servers for the test of the TLS modes: an ACME server, a TLS proxy and an OCSP responder."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pki import Signed, sign


def programs(folder: Path) -> Path:
    """Return the folder of pebble (a test ACME server) and its DNS server; download them from Debian if missing."""
    found = shutil.which("pebble")
    if found:
        return Path(found).parent
    subprocess.run(["apt-get", "download", "pebble"], cwd=folder, check=True, capture_output=True, timeout=60)
    [package] = folder.glob("pebble*.deb")
    subprocess.run(["dpkg", "-x", str(package), str(folder / "pebble")], check=True)
    return folder / "pebble/usr/bin"


def answers(url: str, trust: ssl.SSLContext) -> bytes:
    """Wait until a server responds; return the response body."""
    for attempt in range(50):
        try:
            with urllib.request.urlopen(url, context=trust, timeout=5) as answer:
                body: bytes = answer.read()
                return body
        except OSError:
            assert attempt < 49, f"{url} does not answer"
            time.sleep(0.1)
    raise AssertionError


@contextmanager
def acme_server(folder: Path, here: str, there: str) -> Iterator[dict[str, str]]:
    """Run an ACME server at the address `here` that resolves every name to `there`; yield variables for site.yml.

    Its certificates are so short-lived that each renewal check renews them.
    """
    root = sign("ACME server's own root")
    own = sign("acme", root, names=[here, "127.0.0.1"])
    for name, text in {"tls.pem": own.pem, "tls.key": own.key(), "server-ca.crt": root.pem}.items():
        (folder / name).write_text(text)
    settings = {
        "listenAddress": f"{here}:14000",
        "managementListenAddress": "127.0.0.1:15000",
        "certificate": str(folder / "tls.pem"),
        "privateKey": str(folder / "tls.key"),
        "httpPort": 80,
        "tlsPort": 443,
        "certificateValidityPeriod": 10 * 86400,
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
    bin_folder = programs(folder)
    names = ["-defaultIPv4", there, "-defaultIPv6", "", "-dns01", "127.0.0.1:8053", "-management", "127.0.0.1:8055"]
    names += ["-http01", "", "-https01", "", "-tlsalpn01", ""]
    server = ["-config", str(folder / "pebble.json"), "-dnsserver", "127.0.0.1:8053"]
    commands = [[str(bin_folder / "pebble-challtestsrv"), *names], [str(bin_folder / "pebble"), *server]]
    with (folder / "pebble.log").open("w") as log:
        running = [
            subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env={**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"},
            )
            for command in commands
        ]
        try:
            trust = ssl.create_default_context(cafile=str(folder / "server-ca.crt"))
            (folder / "acme-root.crt").write_bytes(answers("https://127.0.0.1:15000/roots/0", trust))
            yield {
                "nginx_acme_directory": f"https://{here}:14000/dir",
                "nginx_acme_ca": str(folder / "server-ca.crt"),
                "trackbox_ca_certificate": str(folder / "acme-root.crt"),
            }
        finally:
            for process in running:
                process.terminate()
                process.wait()


@contextmanager
def tls_proxy(folder: Path, certificate: Signed, here: str, there: str, ports: dict[int, int]) -> Iterator[None]:
    """Accept TLS connections at `here`, and forward the bytes to `there` without TLS.

    ports: for each port of `here`, the port of `there`.
    """
    (folder / "proxy.pem").write_text(certificate.key() + certificate.pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "proxy.pem")

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    async def serve(started: threading.Event) -> None:
        def handler(port: int):  # type: ignore[no-untyped-def]
            async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                inner_reader, inner_writer = await asyncio.open_connection(there, port)
                await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

            return connected

        servers = [await asyncio.start_server(handler(to), here, port, ssl=context) for port, to in ports.items()]
        started.set()
        await ended.wait()
        for server in servers:
            server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    ended, started = asyncio.Event(), threading.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve(started)), daemon=True)
    thread.start()
    assert started.wait(5)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(5)


@contextmanager
def ocsp_responder(folder: Path, authority: Signed, certificate: Signed, port: int) -> Iterator[None]:
    """Run an OCSP responder that reports one certificate of the authority as good."""
    (folder / "authority.crt").write_text(authority.pem)
    (folder / "authority.key").write_text(authority.key())
    end = f"{certificate.certificate.not_valid_after_utc:%y%m%d%H%M%SZ}"
    (folder / "index").write_text(f"V\t{end}\t\t{certificate.certificate.serial_number:X}\tunknown\t/CN=x\n")
    command = ["openssl", "ocsp", "-port", str(port), "-index", "index", "-CA", "authority.crt"]
    command += ["-rsigner", "authority.crt", "-rkey", "authority.key", "-ndays", "1"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()
