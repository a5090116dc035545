"""The machine as clients reach it, with the current settings of `secrets/env`."""

from __future__ import annotations

import json
import os
import shlex
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from machine import ROOT, Machine

NAME = "trackbox.test"
# Runs a command in a mount namespace, in which another file replaces /etc/hosts. The file contains trackbox.test.
NAMED = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"']


class PublicView:
    """NGINX at an address. Clients that this class starts resolve the name trackbox.test to this address."""

    def __init__(self, machine: Machine, folder: Path, address: str) -> None:
        self.address, self.hosts = address, folder / "hosts"
        self.hosts.write_text(f"127.0.0.1 localhost\n{address} {NAME}\n")
        words = shlex.split((machine.secrets / "env").read_text())
        self.settings = dict(word.split("=", 1) for word in words if "=" in word)
        self.host = self.settings["MLFLOW_TRACKING_URI"].removeprefix("https://")
        self.trust = ssl.create_default_context(cafile=self.settings.get("MLFLOW_TRACKING_SERVER_CERT_PATH"))
        self.trust.verify_flags |= ssl.VERIFY_X509_STRICT

    def start(self, script: Path, *arguments: str) -> subprocess.Popen[str]:
        """Start a client with only the environment variables of `secrets/env`."""
        command = [*NAMED, str(self.hosts), str(ROOT / "training/.venv/bin/python"), str(script), *arguments]
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **self.settings}
        pipes: dict[str, Any] = dict.fromkeys(["stdin", "stdout", "stderr"], subprocess.PIPE)
        return subprocess.Popen(command, env=environment, text=True, **pipes)

    def check_clients(self) -> None:
        """Check that an unmodified MLflow client logs a run with an artifact, and that boto3 lists the data sets."""
        scripts = Path(__file__).parent
        keys = [self.settings["AWS_ACCESS_KEY_ID"], self.settings["AWS_SECRET_ACCESS_KEY"]]
        mlflow = self.start(scripts / "client_mlflow.py")
        boto = self.start(scripts / "client_s3.py", *keys, "list_objects_v2 Bucket=datasets")
        for process, wanted in ((mlflow, '"status": "FINISHED"'), (boto, '["ok"]')):
            out, error = process.communicate(timeout=90)
            assert process.returncode == 0, error
            assert wanted in out

    def certificate(self, port: int = 443) -> x509.Certificate:
        """Connect as a client that trusts only the authority in `secrets/env`; return the server's certificate."""
        with (
            socket.create_connection((self.address, port), 5) as connection,
            self.trust.wrap_socket(connection, server_hostname=self.host) as secure,
        ):
            return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")

    def ask(self, path: str, *headers: str, port: int = 443) -> str:
        """Send one request, without TLS if the port is 80; return the whole response."""
        lines = [f"GET {path} HTTP/1.1", f"Host: {self.host}", "Connection: close", *headers, "", ""]
        with socket.create_connection((self.address, port), 5) as plain:
            connection = plain if port == 80 else self.trust.wrap_socket(plain, server_hostname=self.host)
            connection.sendall("\r\n".join(lines).encode())
            with connection.makefile("rb") as answer:
                return answer.read().decode(errors="replace")

    def stapled(self) -> str:
        """Return openssl's output, which contains the stapled OCSP response."""
        command = ["openssl", "s_client", "-connect", f"{self.address}:443", "-status"]
        return subprocess.run(command, input="", capture_output=True, text=True, timeout=10, check=False).stdout

    @contextmanager
    def load(self) -> Iterator[None]:
        """Run clients that send requests without pause; check that none of their requests fails."""
        process = self.start(Path(__file__).with_name("client_load.py"))
        assert process.stdout
        assert process.stdout.readline() == "begun\n", process.communicate(timeout=30)[1]
        yield
        out, error = process.communicate("", timeout=60)
        assert process.returncode == 0, error
        found = json.loads(out.splitlines()[-1])
        print(found)
        assert found["failed"] == []
        assert min(found["count"].values()) > 20, found
