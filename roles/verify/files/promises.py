"""What a promise is, and how all of them are looked at.

The functions in inside/ and outside/, and those in promises of each service's role, are the promises.

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
# By the fact that a service must have, and the function's name: promises that several services make.
SHARED: dict[tuple[str, str], Check] = {}


def promise(service: str) -> Callable[[Check], Check]:
    """Make a function a promise of the service."""

    def register(check: Check) -> Check:
        if check.__name__ in PROMISES:
            raise ValueError(f"two promises are called {check.__name__}")
        PROMISES[check.__name__] = Promise(check.__name__, service, sentence(check), check)
        return check

    return register


def promise_of_each(fact: str) -> Callable[[Check], Check]:
    """Make a function a promise of each service that has this fact; `{}` in its sentence is the service's title."""

    def register(check: Check) -> Check:
        SHARED[fact, check.__name__] = check
        return check

    return register


def sentence(check: Check) -> str:
    """Return the first line of a promise's docstring."""
    return (check.__doc__ or "").split("\n")[0].rstrip(".")


def promises_of(facts: Facts) -> list[Promise]:
    """Return the promises of the services that have facts; each service's own ones, then those that it shares."""
    made = [promised for promised in PROMISES.values() if promised.service in facts]
    for (fact, name), check in SHARED.items():
        for service, its in facts.items():
            if isinstance(its, dict) and fact in its:
                title = its.get("title", service)
                made.append(Promise(f"{service}_{name}", service, sentence(check).format(title), check))
    return made


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
    chosen = [made for made in promises_of(facts) if not only or made.name in only]
    secrets = sorted(facts.get("secrets", []), key=len, reverse=True)
    with ThreadPoolExecutor(6) as pool:
        return list(pool.map(lambda made: outcome(made, facts, secrets), chosen))
