"""What a promise is, and how all of them are looked at. The functions in inside/ and outside/ are the promises.

A promise is a function whose docstring says it in one sentence. It gets the facts of its service (what the settings
want), and yields what it finds to be otherwise: nothing, if the promise is held. It changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

Facts = dict[str, Any]
Check = Callable[[Facts], Iterable[str]]

TITLES = {
    "host": "The machine",
    "mysql": "The database",
    "minio": "MinIO",
    "mlflow": "MLflow",
    "nginx": "NGINX",
    "training": "Training",
    "system": "The system",
    "firewall": "The firewall",
    "backup": "Backups",
}

# Findings that one line of the table shows.
SHOWN = 4


class Off(Exception):  # noqa: N818 - it is no error
    """The settings do not make this promise; the text names the setting."""


@dataclass(frozen=True)
class Promise:
    """A promise of one service."""

    name: str
    service: str
    sentence: str
    check: Check


PROMISES: dict[str, Promise] = {}


def promise(*services: str) -> Callable[[Check], Check]:
    """Make a function a promise of the service; with several, one of each, `{}` in its sentence being the title."""

    def register(check: Check) -> Check:
        sentence = (check.__doc__ or "").split("\n")[0].rstrip(".")
        for service in services:
            name = check.__name__ if len(services) == 1 else f"{service}_{check.__name__}"
            if name in PROMISES:
                raise ValueError(f"two promises are called {name}")
            PROMISES[name] = Promise(name, service, sentence.format(TITLES[service]), check)
        return check

    return register


def hidden(text: str, secrets: Iterable[str]) -> str:
    """Return the text, on one line, without the secrets."""
    for secret in secrets:
        text = text.replace(secret, "***") if secret else text
    return " ".join(text.split())


def outcome(promised: Promise, facts: Facts, secrets: Sequence[str]) -> dict[str, Any]:
    """Look at one promise: it is held, broken or off. What cannot be looked at is broken."""
    start = time.monotonic()
    try:
        found = list(promised.check(facts[promised.service]))
        state = "broken" if found else "held"
    except Off as off:
        found, state = [str(off)], "off"
    except Exception as error:
        found, state = [f"cannot be looked at: {type(error).__name__}: {error}"], "broken"
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return {
        "name": promised.name,
        "service": promised.service,
        "promise": promised.sentence,
        "state": state,
        "detail": hidden("; ".join(found[:SHOWN] + more), secrets),
        "seconds": round(time.monotonic() - start, 2),
    }


def look(facts: Facts, only: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Look at the promises of the services that have facts, or at those of them that `only` names.

    facts: of each service, by name; `secrets` beside them is what may never be shown.
    """
    chosen = [made for made in PROMISES.values() if made.service in facts and (not only or made.name in only)]
    secrets = sorted(facts.get("secrets", []), key=len, reverse=True)
    with ThreadPoolExecutor(6) as pool:
        return list(pool.map(lambda made: outcome(made, facts, secrets), chosen))
