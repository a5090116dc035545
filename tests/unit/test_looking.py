"""Promises (checks of verify.yml) are evaluated as held, broken or off. No result contains a secret."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promises
import pytest
from promises import Facts, Off

FILES = Path(promises.__file__).parent


def found(check: promises.Check, *secrets: str) -> dict[str, Any]:
    promised = promises.Promise("it", "host", "It is so", check)
    return promises.outcome(promised, {"host": {"limit": 3}}, secrets)


def raising(error: Exception) -> promises.Check:
    def check(_: Facts) -> Iterator[str]:
        yield "one"
        raise error

    return check


def test_nothing_found_is_a_promise_held() -> None:
    assert (found(lambda _: [])["state"], found(lambda _: [])["detail"]) == ("held", "")


def test_what_is_found_breaks_it_and_a_few_of_many_are_shown() -> None:
    each = found(lambda its: [f"port {number}" for number in range(its["limit"] * 2)])
    assert (each["state"], each["detail"]) == ("broken", "port 0; port 1; port 2; port 3; and 2 more")


def test_what_is_not_promised_is_off_and_says_why() -> None:
    each = found(raising(Off("nginx_tls is off")))
    assert (each["state"], each["detail"]) == ("off", "nginx_tls is off")


def test_what_cannot_be_looked_at_is_broken() -> None:
    each = found(raising(OSError("no such file")))
    assert (each["state"], each["detail"]) == ("broken", "cannot be looked at: OSError: no such file")


def test_no_secret_is_shown_whatever_is_found() -> None:
    each = found(raising(ValueError("geheim\n  and more")), "", "geheim")
    assert each["detail"] == "cannot be looked at: ValueError: *** and more"
    # The longer secret must be replaced first. Otherwise its second part would remain visible.
    assert promises.hidden("long-secret", sorted(["long", "long-secret"], key=len, reverse=True)) == "***"


def test_a_name_is_given_once() -> None:
    def name_of_a_test(_: Facts) -> Iterator[str]:
        """This promise is always held."""
        yield from ()

    try:
        assert promises.promise("host")(name_of_a_test) is name_of_a_test
        with pytest.raises(ValueError, match="two promises are called name_of_a_test"):
            promises.promise("host")(name_of_a_test)
    finally:
        promises.PROMISES.pop("name_of_a_test")


def test_each_service_with_a_fact_makes_the_promise() -> None:
    def kept(_: Facts) -> Iterator[str]:
        """{} is kept."""
        yield from ()

    facts = {"mysql": {"keeps": 1, "title": "The database"}, "nginx": {"keeps": 0, "title": "NGINX"}, "training": {}}
    try:
        promises.promise_of_each("keeps")(kept)
        made = promises.promises_of({**facts, "secrets": ["keeps"]})
        assert {each.name: each.sentence for each in made if each.name.endswith("_kept")} == {
            "mysql_kept": "The database is kept",
            "nginx_kept": "NGINX is kept",
        }
    finally:
        promises.SHARED.pop(("keeps", "kept"), None)


def test_the_modules_run_where_no_file_of_them_lies() -> None:
    text = 'from promises import promise\n@promise("host")\ndef {}(its):\n    """It is so."""\n    yield its["what"]\n'
    sources = [["promises", (FILES / "promises.py").read_text()], ["inside.own", text.format("a") + text.format("b")]]
    given = {"sources": sources, "facts": {"host": {"what": "geheim"}, "secrets": ["geheim"]}, "only": ["b"]}
    command = [sys.executable, "-I", "-c", (FILES / "load.py").read_text()]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=True, timeout=30)
    [each] = json.loads(done.stdout)
    assert (each["name"], each["state"], each["detail"]) == ("b", "broken", "***")
