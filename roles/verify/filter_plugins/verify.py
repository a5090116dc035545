"""Filters of the role: what is sent to be run, and the table of what came back."""

from __future__ import annotations

import base64
import difflib
import hashlib
import json
import re
import secrets
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

FILES = Path(__file__).parents[1] / "files"
MARKS = {"held": "✔", "broken": "✘", "off": "–"}
# What both sides begin with, in the order in which they import one another.
FIRST = {"inside": ["promises", "tools"], "outside": ["promises", "network"]}
# Of a secret so short nothing can be said: it would be found by chance.
SHORT = 8
# The order of the table, and what SERVERS stands for in files/inside/units.py.
ORDER = ["host", "mysql", "minio", "mlflow", "nginx", "training", "system", "firewall", "backup"]
SERVERS = ORDER[1:5]

NAME, WIDTH = 28, 120

Result = Mapping[str, Any]


def given(facts: Mapping[str, Any], side: str, only: str = "") -> str:
    """Return what files/load.py reads: the modules of a side (inside or outside), the facts, and which promises."""
    paths = [FILES / f"{name}.py" for name in FIRST[side]] + sorted((FILES / side).glob("*.py"))
    sources = [[".".join(path.relative_to(FILES).with_suffix("").parts), path.read_text()] for path in paths]
    return json.dumps({"sources": sources, "facts": facts, "only": wanted(only)})


def wanted(only: str) -> list[str]:
    """Return the names in a text that separates them by commas."""
    return [name.strip() for name in only.split(",") if name.strip()]


def fingerprints(known: Mapping[str, str]) -> dict[str, Any]:
    """Return how a machine knows a secret when it sees it, without being told: names by salted digests.

    As it is, and as `base64` writes it, alone or with the end of its line; the padding is left away.
    """
    salt = secrets.token_hex(16)
    digests = {}
    for name, value in known.items():
        coded = [base64.b64encode((value + end).encode()).decode() for end in ("", "\n")]
        for word in (value, *coded) if len(value) >= SHORT else ():
            digests[hashlib.sha256((salt + word.rstrip("=")).encode()).hexdigest()] = name
    return {"salt": salt, "fingerprints": digests}


def promises() -> list[str]:
    """Return the names of all promises, as the decorator gives them."""
    text = "".join(path.read_text() for path in sorted(FILES.glob("*/*.py")))
    names = []
    for services, name in re.findall(r"^@promise\((.*)\)\ndef (\w+)", text, re.MULTILINE):
        each = re.findall(r'"(\w+)"', services.replace("*SERVERS", ", ".join(f'"{server}"' for server in SERVERS)))
        names += [name] if len(each) == 1 else [f"{service}_{name}" for service in each]
    return names


def unknown_promises(only: str) -> list[str]:
    """Return a sentence for each name that is no promise's."""
    problems = []
    for name in wanted(only):
        if name not in promises():
            near = difflib.get_close_matches(name, promises(), n=1)
            meant = f"did you mean {near[0]}?" if near else "the names stand at the left of the table."
            problems.append(f"verify_only names {name}, which is no promise: {meant}")
    return problems


def promise_results(variables: Mapping[str, Any]) -> list[Result]:
    """Return what was found on a host: first inside, then outside; one broken promise where it could not be reached.

    variables: the host's.
    """
    found: list[Result] = []
    for side in ("inside", "outside"):
        text = variables.get(f"__verify_found_{side}", {}).get("stdout")
        if not text:
            unreached = {
                "name": f"seen_from_{side}",
                "service": "host",
                "promise": f"The machine can be looked at from {side}",
            }
            return [*found, {**unreached, "state": "broken", "detail": "Ansible's own error stands above"}]
        found += json.loads(text)
    return sorted(found, key=lambda line: ORDER.index(line["service"]))


def named(results: Mapping[str, Sequence[Result]]) -> Iterator[tuple[str, Result]]:
    """Yield each result with the name of its host, which stays empty where there is only one."""
    for host, lines in results.items():
        yield from ((host if len(results) > 1 else "", line) for line in lines)


def promise_table(results: Mapping[str, Sequence[Result]]) -> str:
    """Return the table of promises, by host a list of results: one line for each, and below it what was found."""
    text, before = [], ""
    for host, line in named(results):
        title = f"{host} {line['service']}".strip()
        text += ["", title] if title != before else []
        before = title
        text.append(f"  {MARKS[line['state']]} {line['name']:<{NAME}} {line['promise']}")
        text += textwrap.wrap(
            line["detail"], WIDTH, initial_indent=" " * (NAME + 5), subsequent_indent=" " * (NAME + 5)
        )
    counts = Counter(line["state"] for _, line in named(results))
    many = sum(counts.values())
    total = f"{many} promise{'' if many == 1 else 's'}: " + ", ".join(f"{counts[state]} {state}" for state in MARKS)
    return "\n".join([*text, "", total])


def broken_promises(results: Mapping[str, Sequence[Result]]) -> list[str]:
    """Return the names of the broken promises, with their host where there are several."""
    return [
        f"{line['name']} {host and f'on {host}'}".strip() for host, line in named(results) if line["state"] == "broken"
    ]


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "broken_promises": broken_promises,
            "fingerprints": fingerprints,
            "promise_results": promise_results,
            "promise_table": promise_table,
            "promises_given": given,
            "unknown_promises": unknown_promises,
        }
