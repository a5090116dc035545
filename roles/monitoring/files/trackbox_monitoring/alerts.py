"""The problems of the machine: the alerts of Prometheus that fire, and faults of the alerting itself."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from typing import Any

SECONDS = 5.0
# The maximum size of a response, because this program may use only 96 MB of memory.
MOST_BYTES = 4 << 20
# The order in which alerts are sorted by severity.
ORDER = {"critical": 0, "warning": 1}


@dataclass(frozen=True)
class Problem:
    """A problem: the alert's name and severity, a sentence on what is wrong, the remedy, and the start in ISO 8601."""

    name: str
    severity: str
    summary: str
    action: str
    since: str = ""


def sorted_problems(problems: list[Problem]) -> list[Problem]:
    """Return each different problem once, sorted by severity and then by name."""
    return sorted(dict.fromkeys(problems), key=lambda each: (ORDER.get(each.severity, 2), each.name, each.summary))


def own_problem(summary: str) -> Problem:
    """Return a problem which reports that alerting itself does not work."""
    action = "Type `systemctl restart trackbox-prometheus`, and read `journalctl -u trackbox-prometheus -n 50`."
    return Problem("MonitoringDown", "critical", f"{summary} No alert can be raised.", action)


def ask(address: str, path: str, body: str | None = None, seconds: float = SECONDS) -> str:
    """Return the response of Prometheus or Alertmanager. With a body, which is JSON, the request is a POST.

    seconds: the timeout. Raises OSError, HTTPException or ValueError.
    """
    host, _, port = address.rpartition(":")
    connection = HTTPConnection(host, int(port), timeout=seconds)
    try:
        headers = {"Content-Type": "application/json"} if body else {}
        connection.request("POST" if body else "GET", path, body, headers)
        response = connection.getresponse()
        text = response.read(MOST_BYTES + 1)
        if response.status != 200:
            raise ValueError(f"it answers {response.status}")
        if len(text) > MOST_BYTES:
            raise ValueError(f"its answer has more than {MOST_BYTES >> 20} MB")
        return text.decode()
    finally:
        connection.close()


def age(moment: str) -> float:
    """Return the seconds since a time that Prometheus reports, without its nanoseconds, which Python cannot parse."""
    stamp, offset = moment[:19], moment[19:].lstrip(".0123456789")
    return time.time() - datetime.fromisoformat(stamp + offset.replace("Z", "+00:00")).timestamp()


def read(answer: dict[str, Any], interval: float) -> list[Problem]:
    """Return the problems in Prometheus' response to /api/v1/rules. interval: seconds between two evaluations."""
    problems = []
    groups = answer["data"]["groups"]
    if not groups:
        problems.append(own_problem("Prometheus has no alert rules."))
    for group in groups:
        # Before the first evaluation, Prometheus returns a time in the year 1.
        last = group["lastEvaluation"]
        if last[:4] > "1970" and age(last) > 60 + 3 * interval:
            problems.append(own_problem(f"Prometheus has not evaluated its rules since {last[:19]}."))
        for rule in group["rules"]:
            if rule.get("health") == "err":
                problems.append(own_problem(f"The alert rule {rule['name']} cannot be evaluated."))
            problems += [
                Problem(
                    rule["name"],
                    alert["labels"].get("severity", "warning"),
                    alert["annotations"].get("summary", rule["name"]),
                    alert["annotations"].get("action", ""),
                    f"{alert['activeAt'][:19]}Z",
                )
                for alert in rule.get("alerts", [])
                # Skip the heartbeat, which always fires and has the severity `none`.
                if alert["state"] == "firing" and alert["labels"].get("severity") != "none"
            ]
    return problems


def problems(address: str, interval: float) -> list[Problem]:
    """Return all problems, the worst first. If Prometheus does not respond, that is the only problem."""
    try:
        return sorted_problems(read(json.loads(ask(address, "/api/v1/rules?type=alert")), interval))
    except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
        return [own_problem(f"Prometheus does not answer at {address}: {error or type(error).__name__}.")]
