"""Send a test message through each channel, as root: alert_test ADDRESS HOST STATUS_URL KIND...

ADDRESS is the address of Alertmanager. The message names HOST and STATUS_URL. Each channel is given by its KIND: mail,
webhook or slack. The exit code is 1 if a channel did not accept the message.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections import Counter
from http.client import HTTPException

from trackbox_monitoring.alerts import ask

INTEGRATIONS = {"mail": "email"}
UNIT = "trackbox-alertmanager"
# Seconds to wait for Alertmanager. Within this time it retries a channel that refuses the message several times.
PATIENCE = 40.0
REQUESTS = re.compile(
    r'^alertmanager_notification_requests_(failed_)?total\{[^}]*integration="(\w+)"[^}]*\} ([0-9.e+]+)$', re.MULTILINE
)


def delivered(address: str) -> Counter[str]:
    """Return how many messages each integration has delivered: all requests without those that failed."""
    found: Counter[str] = Counter()
    for failed, integration, number in REQUESTS.findall(ask(address, "/metrics")):
        found[integration] += int(float(number)) * (-1 if failed else 1)
    return found


def alert(host: str, status: str) -> str:
    """Return the test alert for Alertmanager, as JSON."""
    labels = {"alertname": "AlertTest", "severity": "none", "host": host, "status": status, "test": str(time.time_ns())}
    summary = "This is a test message of Trackbox. Nothing is wrong."
    return json.dumps([{"labels": labels, "annotations": {"summary": summary, "action": ""}}])


def reasons(cursor: str) -> str:
    """Return the errors that Alertmanager has logged since the cursor of the journal, each once."""
    subprocess.run(["journalctl", "--sync"], check=False, timeout=30)
    command = ["journalctl", "--output=cat", f"--unit={UNIT}", f"--after-cursor={cursor}"]
    log = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30).stdout
    found = re.findall(r'integration=(\w+)\[[0-9]+\].*\berr="((?:[^"\\]|\\.)*)"', log)
    return "; ".join(dict.fromkeys(f"{integration}: {reason}" for integration, reason in found))


def main() -> int:
    """Send the message; return the exit code."""
    address, host, status, *kinds = sys.argv[1:]
    wanted = Counter(INTEGRATIONS.get(kind, kind) for kind in kinds)
    shown = ["journalctl", "--lines=0", "--show-cursor"]
    cursor = subprocess.run(shown, check=False, capture_output=True, text=True, timeout=30).stdout
    try:
        before = delivered(address)
        ask(address, "/api/v2/alerts", alert(host, status))
        end = time.monotonic() + PATIENCE
        while missing := wanted - (delivered(address) - before):
            if time.monotonic() > end:
                break
            time.sleep(0.5)
    except (OSError, HTTPException, ValueError) as error:
        print(f"Alertmanager does not answer at {address}: {error}. Read journalctl -u {UNIT} -n 20.")
        return 1
    for integration, number in sorted((wanted - missing).items()):
        print(f"{host}: {number} test message{'s' if number > 1 else ''} delivered by {integration}.")
    for integration, number in sorted(missing.items()):
        print(f"{host}: {number} test message{'s' if number > 1 else ''} not delivered by {integration}.")
    if missing:
        print(f"Alertmanager says: {reasons(cursor.rpartition('cursor: ')[2].strip()) or 'nothing yet'}")
        print("Correct monitoring_channels, type site.yml, and try again.")
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())
