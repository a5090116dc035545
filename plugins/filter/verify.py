"""Filters of the role verify. They prepare the input of the programs that check promises, and show the results."""

from __future__ import annotations

import base64
import difflib
import hashlib
import json
import secrets
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROLES = Path(__file__).parents[2] / "roles"
FILES = ROLES / "verify/files"
MARKS = {"held": "✔", "broken": "✘", "off": "–"}
# The modules that files/load.py loads first on each side, in this order, because later ones import them.
FIRST = {"inside": ["promises", "tools"], "outside": ["promises", "network"]}
# The minimum length of a secret that the promises search for. A shorter secret would match other words by chance.
SHORT = 8
NAME, WIDTH = 28, 120

Result = Mapping[str, Any]
Promised = Mapping[str, Mapping[str, Any]]


def given(facts: Mapping[str, Any], side: str, only: str = "") -> str:
    """Return the input of files/load.py as JSON: the modules of one side, the facts, and the chosen promises.

    side: `inside` for promises that are checked on the machine, `outside` for those checked from the controller.
    """
    shared = [FILES / f"{name}.py" for name in FIRST[side]] + sorted((FILES / side).glob("*.py"))
    sources = [[".".join(path.relative_to(FILES).with_suffix("").parts), path.read_text()] for path in shared]
    for service in facts:
        for path in sorted((ROLES / service / "promises").glob(f"{side}*.py")):
            sources.append([f"{path.stem}.{service}", path.read_text()])
    return json.dumps({"sources": sources, "facts": facts, "only": wanted(only)})


def flat(promised: Promised, *keys: str) -> list[Any]:
    """Return one list of the facts that any service has under this key, or under this path of nested keys."""
    found: list[Any] = []
    for each in promised.values():
        value: Any = each
        for key in keys:
            value = value.get(key, {}) if isinstance(value, Mapping) else {}
        found += value if isinstance(value, list) else [value] if value else []
    return found


def ports(promised: Promised, settings: Mapping[str, Any]) -> list[int]:
    """Return the ports on which programs may accept connections from the network."""
    addresses = [str(address).rpartition(":") for address in flat(promised, "inside", "addresses")]
    outer = [int(port) for address, _colon, port in addresses if not address.startswith(("127.", "[::1", "::1"))]
    return [*settings["ports"], *flat(promised, "inside", "ports"), *outer]


def inside_facts(promised: Promised, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts for promises that are checked on the machine, by service.

    The key `host` contains the facts about the machine itself. promised: wiring_promised, which
    roles/verify/vars/main.yml explains. settings: the role's settings, with the services' titles.
    """
    known: dict[str, str] = {}
    members: dict[str, Any] = {}
    for each in promised.values():
        known |= each.get("secrets", {})
        members |= each.get("inside", {}).get("members", {})
    host = {
        "ports": ports(promised, settings),
        "folders": flat(promised, "inside", "data"),
        "free": settings["free"],
        "container": any(flat(promised, "inside", "container")),
        "groups": {name: each["reader"] for name, each in promised.items() if "reader" in each},
        "public": ["/etc/trackbox", *flat(promised, "public")],
        "root_only": ["/etc/trackbox/*/*.key", *flat(promised, "root_only")],
        "members": members,
    } | fingerprints(known)
    shared = {"backup_days": settings["backup_days"]}
    facts = {name: {**each["inside"], **shared, "title": settings["titles"][name]} for name, each in promised.items()}
    return {"host": host, **facts}


def outside_facts(promised: Promised, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts for promises that are checked from the controller. The arguments are those of inside_facts.

    The facts contain secrets.
    """
    inner = [int(str(address).rpartition(":")[2]) for address in flat(promised, "inside", "addresses")]
    facts: dict[str, Any] = {
        "host": {"address": settings["address"], "ports": ports(promised, settings), "inner": inner},
        "secrets": [secret for each in promised.values() for secret in each.get("secrets", {}).values()],
    }
    for name, each in promised.items():
        if "outside" in each:
            # `ports` and `tls` are under the key `inside`, but promises checked from the controller need them, too.
            own = {key: value for key, value in each["inside"].items() if key in ("ports", "tls")}
            facts[name] = {**own, **settings["door"], **each["outside"]}
    return facts


def wanted(only: str) -> list[str]:
    """Return the names in a comma-separated text."""
    return [name.strip() for name in only.split(",") if name.strip()]


def fingerprints(known: Mapping[str, str]) -> dict[str, Any]:
    """Return salted digests of secrets. With them, a program on the machine recognises secrets without knowing them.

    Each secret of at least SHORT characters has three digests: one of its text, and two of its base64 without padding,
    encoded with and without a newline at the end of the text.
    """
    salt = secrets.token_hex(16)
    digests = {}
    for name, value in known.items():
        coded = [base64.b64encode((value + end).encode()).decode() for end in ("", "\n")]
        for word in (value, *coded) if len(value) >= SHORT else ():
            digests[hashlib.sha256((salt + word.rstrip("=")).encode()).hexdigest()] = name
    return {"salt": salt, "fingerprints": digests}


def promise_names(texts: Iterable[str]) -> list[str]:
    """Return the names of all promises. texts: the input of files/load.py for each side."""
    names: list[str] = []
    for text in texts:
        question = json.dumps({**json.loads(text), "names": True})
        command = [sys.executable, "-I", "-c", (FILES / "load.py").read_text()]
        done = subprocess.run(command, input=question, capture_output=True, text=True, check=True, timeout=30)
        names += json.loads(done.stdout)
    return names


def unknown_promises(only: str, given: Mapping[str, str]) -> list[str]:
    """Return an error message for each name in `only` that is not a promise. given: files/load.py's input, by side."""
    if not wanted(only):
        return []
    problems, names = [], promise_names(given.values())
    for name in wanted(only):
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            meant = f"did you mean {near[0]}?" if near else "the names stand at the left of the table."
            problems.append(f"verify_only names {name}, which is no promise: {meant}")
    return problems


def promise_results(variables: Mapping[str, Any]) -> list[Result]:
    """Return a host's results, sorted by service.

    If the checks on the machine, or those from the controller, could not run, the results contain a broken promise that
    reports this. variables: the host's variables.
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
    order = ["host", *variables.get("wiring_promised", {})]
    return sorted(found, key=lambda line: order.index(line["service"]))


def named(results: Mapping[str, Sequence[Result]]) -> Iterator[tuple[str, Result]]:
    """Yield each result with the name of its host, or with an empty name if there is only one host."""
    for host, lines in results.items():
        yield from ((host if len(results) > 1 else "", line) for line in lines)


def promise_table(results: Mapping[str, Sequence[Result]]) -> str:
    """Return the table of promises as text: a line for each promise, with its details below.

    results: the results of each host, by the host's name.
    """
    text, before = [], ""
    for host, line in named(results):
        title = f"{host} {line['service']}".strip()
        text += ["", title] if title != before else []
        before = title
        text.append(f"  {MARKS[line['state']]} {line['name']:<{NAME}} {line['promise']}")
        text += textwrap.wrap(
            line["detail"], WIDTH, initial_indent=" " * (NAME + 5), subsequent_indent=" " * (NAME + 5)
        )
    counts = Counter(line["state"] for _host, line in named(results))
    many = sum(counts.values())
    total = f"{many} promise{'' if many == 1 else 's'}: " + ", ".join(f"{counts[state]} {state}" for state in MARKS)
    return "\n".join([*text, "", total])


def broken_promises(results: Mapping[str, Sequence[Result]]) -> list[str]:
    """Return the names of the broken promises, with their host if there are several hosts."""
    return [
        f"{line['name']} {host and f'on {host}'}".strip() for host, line in named(results) if line["state"] == "broken"
    ]


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return a mapping from the name of each filter to its function."""
        return {
            "broken_promises": broken_promises,
            "inside_facts": inside_facts,
            "outside_facts": outside_facts,
            "promise_results": promise_results,
            "promise_table": promise_table,
            "promises_given": given,
            "unknown_promises": unknown_promises,
        }
