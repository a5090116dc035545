"""Defines what a promise is, and runs all promises.

A promise is a check: a function in inside/, outside/ or the folder `promises` of a service's role. The first line of
the function's docstring states the promise. The function gets the facts of its service (the wanted state), and yields
each difference that it finds. If the promise is held, the function yields nothing. Promises change nothing on the
machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

Facts = dict[str, Any]
Check = Callable[[Facts], Iterable[str]]

# The maximum number of findings that the table shows for a promise.
SHOWN = 4


class Off(Exception):  # noqa: N818 - not an error
    """Raised by a promise that the settings switch off. The message names the setting."""


@dataclass(frozen=True)
class Promise:
    """A promise of one service."""

    name: str
    service: str
    sentence: str
    check: Check


PROMISES: dict[str, Promise] = {}
# The promises that several services share, by a fact and the function's name. The promise applies to each service that
# has the fact.
SHARED: dict[tuple[str, str], Check] = {}


def promise(service: str) -> Callable[[Check], Check]:
    """Decorator that makes a function a promise of the service."""

    def register(check: Check) -> Check:
        if check.__name__ in PROMISES:
            raise ValueError(f"two promises are called {check.__name__}")
        PROMISES[check.__name__] = Promise(check.__name__, service, sentence(check), check)
        return check

    return register


def promise_of_each(fact: str) -> Callable[[Check], Check]:
    """Decorator that registers a function as a promise of each service whose facts contain `fact`.

    `{}` in the function's docstring stands for the service's title.
    """

    def register(check: Check) -> Check:
        SHARED[fact, check.__name__] = check
        return check

    return register


def sentence(check: Check) -> str:
    """Return the first line of a promise's docstring."""
    return (check.__doc__ or "").split("\n")[0].rstrip(".")


def promises_of(facts: Facts) -> list[Promise]:
    """Return the promises of the services in `facts`: first those of a single service, then the shared ones."""
    made = [promised for promised in PROMISES.values() if promised.service in facts]
    for (fact, name), check in SHARED.items():
        for service, its in facts.items():
            if isinstance(its, dict) and fact in its:
                title = its.get("title", service)
                made.append(Promise(f"{service}_{name}", service, sentence(check).format(title), check))
    return made


def hidden(text: str, secrets: Iterable[str]) -> str:
    """Return the text on one line, with each secret replaced by ***."""
    for secret in secrets:
        text = text.replace(secret, "***") if secret else text
    return " ".join(text.split())


def outcome(promised: Promise, facts: Facts, secrets: Sequence[str]) -> dict[str, Any]:
    """Check one promise; return its result: held, broken or off. It is also broken if its check raises an exception."""
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
    """Check all promises of the services in `facts`, or only those that `only` names; return their results.

    facts: the facts of each service, by its name. Its key `secrets` lists texts that are hidden in the results.
    """
    chosen = [made for made in promises_of(facts) if not only or made.name in only]
    secrets = sorted(facts.get("secrets", []), key=len, reverse=True)
    with ThreadPoolExecutor(6) as pool:
        return list(pool.map(lambda made: outcome(made, facts, secrets), chosen))
