"""Receive mail and HTTP requests, and write each to a file in FOLDER: receivers.py FOLDER NAME PASSWORD

This program runs on the machine under test. 127.0.0.1:2525 is a mail server, which offers STARTTLS with FOLDER/NAME.crt
and .key, and requires a login of the user `trackbox` with PASSWORD. 127.0.0.1:8090 accepts POST requests.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

FOLDER, NAME, PASSWORD = Path(sys.argv[1]), sys.argv[2], sys.argv[3]


def write(kind: str, content: dict[str, Any]) -> None:
    """Write a received message to a temporary file and rename that, so that readers never see a partial message."""
    part = FOLDER / f".{time.time_ns()}"
    part.write_text(json.dumps({"kind": kind, "at": time.time(), **content}))
    part.rename(FOLDER / f"{part.name[1:]}.json")


class Mail:
    """The handler of the mail server: writes each mail to a file."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Write the addresses, the subject and the text of a mail to a file."""
        mail = message_from_bytes(envelope.content, policy=policy.default)
        text = mail.get_body(("plain",))
        found = {
            "to": envelope.rcpt_tos,
            "from": envelope.mail_from,
            "subject": mail["Subject"],
            "tls": bool(session.ssl),
        }
        write("mail", {**found, "text": text.get_content() if text else ""})
        return "250 OK"


class Posts(BaseHTTPRequestHandler):
    """The handler of the HTTP server: writes each POST request to a file."""

    def do_POST(self) -> None:
        """Write the path and the body of the request to a file."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        write(self.path.strip("/"), {"body": body})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        """Do not log requests."""


def login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    """Accept only the login of the user `trackbox`."""
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (b"trackbox", PASSWORD.encode())
    return AuthResult(success=known, handled=False)


context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(FOLDER / f"{NAME}.crt", FOLDER / f"{NAME}.key")
Controller(
    Mail(),
    hostname="127.0.0.1",
    port=2525,
    tls_context=context,
    require_starttls=True,
    auth_required=True,
    # Do not offer LOGIN. For this method, aiosmtpd sends other prompts than most servers, and Alertmanager does not
    # know these prompts.
    auth_exclude_mechanism=["LOGIN"],
    authenticator=login,
).start()
ThreadingHTTPServer(("127.0.0.1", 8090), Posts).serve_forever()
