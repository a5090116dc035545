"""Headless Chromium, logged in as a user: the text of a page, and its errors."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SECONDS = 30.0
QUIET = 1.0
WORDS = "document.body.innerText + [...document.querySelectorAll('iframe')].map(frame => frame.outerHTML).join()"


class Browser:
    """Chromium, controlled by DevTools commands in a pipe (https://chromedevtools.github.io/devtools-protocol)."""

    def __init__(self, profile: Path, user: str, password: str) -> None:
        """Start Debian's Chromium. profile: an empty folder; user, password: sent with each request."""
        assert shutil.which("chromium"), "chromium is missing: apt install chromium"
        # Chromium reads commands from file descriptor 3 and writes responses to 4.
        theirs_in, self.commands = os.pipe()
        self.answers, theirs_out = os.pipe()
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--ignore-certificate-errors",
            "--window-size=1400,1000",
        ]
        flags += ["--disable-background-networking", "--no-first-run", f"--user-data-dir={profile}"]
        command = 'exec 3<&"$1" 4>&"$2"; shift 2; exec chromium --remote-debugging-pipe "$@"'
        self.process = subprocess.Popen(
            ["bash", "-c", command, "chromium", str(theirs_in), str(theirs_out), *flags],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        os.set_blocking(self.answers, False)
        self.rest, self.number, self.session, self.last_event = b"", 0, "", 0.0
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{domain}.enable")
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.ask("Network.setExtraHTTPHeaders", headers={"Authorization": f"Basic {login}"})

    def __enter__(self) -> Self:
        """Return the browser."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop Chromium."""
        self.process.terminate()
        self.process.wait(10)
        os.close(self.commands)
        os.close(self.answers)

    def receive(self) -> list[dict[str, Any]]:
        """Return the messages that have arrived since the last call."""
        try:
            self.rest += os.read(self.answers, 1 << 24)
        except BlockingIOError:
            time.sleep(0.02)
        *whole, self.rest = self.rest.split(b"\0")
        return [json.loads(message) for message in whole]

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; keep the events that arrive meanwhile."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        os.write(
            self.commands, json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0"
        )
        end = time.monotonic() + SECONDS
        found: dict[str, Any] | None = None
        while found is None:
            assert time.monotonic() < end, f"Chromium has not answered {method} within {SECONDS} s"
            for message in self.receive():
                if message.get("id") == self.number:
                    found = message
                elif "method" in message:
                    self.events.append(message)
                    self.last_event = time.monotonic()
        assert "error" not in found, found
        result: dict[str, Any] = found["result"]
        return result

    def run(self, script: str) -> Any:
        """Run JavaScript in the page and return its value."""
        answer = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, url: str, words: list[str]) -> None:
        """Open a page, and wait until it shows all of `words` and no events arrive for QUIET seconds."""
        self.ask("Page.navigate", url="about:blank")
        self.events.clear()
        self.ask("Page.navigate", url=url)
        end = time.monotonic() + SECONDS
        while not (all(word in self.text() for word in words) and time.monotonic() > self.last_event + QUIET):
            assert time.monotonic() < end, (
                f"{url} does not show {words} but {self.text()[:2000]!r}; {self.complaints()}"
            )
            time.sleep(0.2)

    def wait(self, condition: str) -> None:
        """Wait until an expression of JavaScript is true."""
        end = time.monotonic() + SECONDS
        while not self.run(condition):
            assert time.monotonic() < end, f"it does not become true: {condition}; {self.text()[:2000]!r}"
            time.sleep(0.1)

    def text(self) -> str:
        """Return the text of the page, with the HTML of its iframe elements."""
        return str(self.run(f"document.body ? {WORDS} : ''"))

    def requested(self) -> set[str]:
        """Return the URLs that the page has requested."""
        sent = (event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent")
        return {params["request"]["url"] for params in sent}

    def complaints(self) -> list[str]:
        """Return the page's errors, violations of the content policy, and responses with a status of 400 or more."""
        found = []
        for event in self.events:
            params = event["params"]
            if event["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
                if params["entry"]["source"] == "network":
                    continue  # The event Network.responseReceived reports the same error, with its status.
                found.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            elif event["method"] == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"].get("exception", params))[:500])
            elif event["method"] == "Network.responseReceived" and params["response"]["status"] >= 400:
                found.append(f"{params['response']['status']} {params['response']['url']}")
        return found

    def picture(self) -> bytes:
        """Return a screenshot of the page, as PNG."""
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])
