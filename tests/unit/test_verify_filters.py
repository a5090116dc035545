"""Filters of verify.yml: the modules and facts that are sent to the machine, and the table of results."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

import pytest
import verify
import yaml

SECRET = "a long password"


def result(name: str, service: str = "nginx", state: str = "held", detail: str = "") -> dict[str, Any]:
    return {"name": name, "service": service, "promise": f"It is {name}", "state": state, "detail": detail}


# Facts that roles declare in tasks/verify.yml. The names of the promises depend on these facts.
PROMISED: dict[str, dict[str, Any]] = {
    "mysql": {"inside": {"exposure": 3, "as_written": {}, "packaged": True}},
    "minio": {"inside": {"addresses": ["127.0.0.1:9000"], "data": "/srv"}, "outside": {}, "secrets": {"a key": SECRET}},
    "nginx": {
        "inside": {"ports": [80, 443], "members": {"www": []}},
        "outside": {"users": []},
        "reader": "www",
    },
    "backup": {"inside": {"target": ""}},
}
SETTINGS = {
    "titles": {name: name.title() for name in PROMISED},
    "address": "192.0.2.1",
    "ports": [22],
    "free": 0.05,
    "backup_days": 2,
    "door": {"url": "https://vm"},
}


def sides() -> dict[str, str]:
    facts = {
        "inside": verify.inside_facts(PROMISED, SETTINGS),
        "outside": verify.outside_facts(PROMISED, SETTINGS),
    }
    return {side: verify.given(known, side) for side, known in facts.items()}


def test_every_promise_has_one_name_and_one_of_each_service_that_shares_it() -> None:
    names = verify.promise_names(sides().values())
    assert len(names) == len(set(names)) > 50
    assert {"ports_closed", "mysql_runs", "minio_port_its_own", "s3_wants_key", "door_open", "backup_young"} <= {*names}
    assert not {"minio_runs", "training_scheduled", "backup_runs"} & {*names}


def test_the_readers_are_told_how_many_promises_there_are() -> None:
    root = verify.ROLES.parent
    breakings = yaml.safe_load((root / "molecule/promises/tests/breakings.yml").read_text())
    for page in ("README.md", "docs/security.md", "roles/verify/README.md"):
        numbers = {int(number) for number in re.findall(r"(\d+) promises", (root / page).read_text())}
        assert numbers == {sum(map(len, breakings.values()))}, page


def test_the_machine_is_told_what_the_services_say_and_no_secret() -> None:
    text = sides()["inside"]
    host = json.loads(text)["facts"]["host"]
    assert SECRET not in text
    assert (host["ports"], host["folders"], host["groups"]) == ([22, 80, 443], ["/srv"], {"nginx": "www"})
    assert list(host["fingerprints"].values()).count("a key") == len(host["fingerprints"])
    outside = json.loads(sides()["outside"])["facts"]
    assert (outside["secrets"], outside["host"]["inner"]) == ([SECRET], [9000])
    assert outside["nginx"] == {"ports": [80, 443], "url": "https://vm", "users": []}


@pytest.mark.parametrize(("only", "names"), [("", []), (" , ", []), ("a, b,", ["a", "b"])])
def test_names_stand_between_commas(only: str, names: list[str]) -> None:
    assert verify.wanted(only) == names


def test_an_unknown_name_is_told_which_one_was_meant() -> None:
    assert verify.unknown_promises("", {}) == verify.unknown_promises("ports_open, mysql_runs", sides()) == []
    assert verify.unknown_promises("port_open,xyz", sides()) == [
        "verify_only names port_open, which is no promise: did you mean ports_open?",
        "verify_only names xyz, which is no promise: the names stand at the left of the table.",
    ]


@pytest.mark.parametrize("side", ["inside", "outside"])
def test_what_is_sent_are_the_modules_in_the_order_of_their_imports_and_the_facts(side: str) -> None:
    sent = json.loads(verify.given({"host": {"port": 1}, "nginx": {}}, side, "ports_open"))
    names = [name for name, _ in sent["sources"]]
    assert (sent["facts"], sent["only"]) == ({"host": {"port": 1}, "nginx": {}}, ["ports_open"])
    assert names[:2] == ["promises", {"inside": "tools", "outside": "network"}[side]]
    assert len(names) > 2
    assert {name.split(".")[0].split("_")[0] for name in names[2:]} == {side}


def test_a_fingerprint_says_nothing_of_its_secret_and_knows_it_in_base64_too() -> None:
    known = verify.fingerprints({"the password": SECRET, "a short one": "1234567"})
    assert SECRET not in json.dumps(known)
    assert set(known["fingerprints"].values()) == {"the password"}
    for line in (SECRET, f"{SECRET}\n"):
        for word in (SECRET, base64.b64encode(line.encode()).decode().rstrip("=")):
            digest = hashlib.sha256((known["salt"] + word).encode()).hexdigest()
            assert known["fingerprints"][digest] == "the password"
    assert verify.fingerprints({"the password": SECRET})["fingerprints"].keys().isdisjoint(known["fingerprints"])


def found(*sides: Any) -> dict[str, Any]:
    names = ("__verify_found_inside", "__verify_found_outside")
    results = {name: {"stdout": json.dumps(side)} for name, side in zip(names, sides, strict=False)}
    return results | {"wiring_promised": {"nginx": {}, "training": {}}}


def test_results_stand_in_the_order_of_the_table() -> None:
    lines = verify.promise_results(found([result("c", "training"), result("b")], [result("a", "host")]))
    assert [line["name"] for line in lines] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("variables", "side", "known"),
    [
        ({}, "inside", []),
        ({"__verify_found_inside": {"stdout": ""}}, "inside", []),
        (found([result("a")]), "outside", ["a"]),
    ],
)
def test_a_machine_that_was_not_looked_at_has_broken_a_promise(
    variables: dict[str, Any], side: str, known: list[str]
) -> None:
    *others, last = verify.promise_results(variables)
    assert (last["name"], last["state"]) == (f"seen_from_{side}", "broken")
    assert [line["name"] for line in others] == known


def test_the_table_has_a_line_for_each_promise_and_what_was_found_below_it() -> None:
    lines = [
        result("first", "host"),
        result("second", state="broken", detail="word " * 60),
        result("third", state="off"),
    ]
    text = verify.promise_table({"vm": lines})
    assert text.splitlines()[:3] == ["", "host", "  ✔ first                        It is first"]
    assert "\nnginx\n  ✘ second" in text
    assert "\n  – third" in text
    assert text.endswith("\n\n3 promises: 1 held, 1 broken, 1 off")
    assert text.count("word") == 60
    assert max(map(len, text.splitlines())) <= verify.WIDTH
    assert verify.promise_table({"vm": lines[:1]}).endswith("1 promise: 1 held, 0 broken, 0 off")


def test_several_machines_are_named() -> None:
    results = {"one": [result("a", state="broken")], "two": [result("a"), result("b", state="broken")]}
    assert verify.broken_promises(results) == ["a on one", "b on two"]
    assert verify.broken_promises({"one": results["one"]}) == ["a"]
    assert "\none nginx\n" in verify.promise_table(results)
    assert "\ntwo nginx\n" in verify.promise_table(results)
