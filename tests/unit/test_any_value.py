"""For any value that YAML can produce, each check of an option returns error messages and never raises an exception."""

import datetime
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from backup import backup_problems
from htpasswd import htpasswd, htpasswd_problems
from inventory_checks import host_problems
from minio_checks import content_problems
from trackbox import account, secret, variable_problems

ROLES = Path(__file__).parents[2] / "roles"

# Texts that YAML parses as another type if they are typed without quotes.
TYPED = {
    "123456789012": "a number",
    "0123": "a number",
    "0x1F": "a number",
    "12:30:00": "a number",
    "1_000": "a number",
    "1.10": "a number",
    "1.5e+3": "a number",
    ".inf": "a number",
    "yes": "true or false",
    "Off": "true or false",
    "2026-11-25": "a date",
    "2026-11-25 10:00:00": "a date",
    "!!binary aGVsbG8=": "binary data",
}
# Texts that YAML parses as text, although they resemble values of other types.
TEXTS = ["1e5", "08", "1.2.3", "null and void", "nö", "n" * 12]
OTHERS: list[Any] = [
    None,
    [],
    {},
    [None],
    [[]],
    {1: 2},
    {True: "x"},
    {None: None},
    {"name": 1},
    [{"name": {}}],
    {"": ""},
]


def leaves(spec: dict[str, Any], kind: str = "") -> Iterator[tuple[str, dict[str, Any], list[str | int]]]:
    """Yield type, specification and path of each scalar value in an option and its nested options."""
    type_ = kind or spec.get("type", "str")
    if type_ == "list":
        yield from ((found, leaf, [0, *way]) for found, leaf, way in leaves(spec, spec["elements"]))
    elif type_ == "dict":
        for name, option in spec.get("options", {}).items():
            yield from ((found, leaf, [name, *way]) for found, leaf, way in leaves(option))
    else:
        yield type_, spec, []


def built(spec: dict[str, Any], way: list[str | int], value: Any) -> Any:
    """Return a value of an option with all required parts, and with `value` at the end of the path `way`."""
    if not way:
        return value
    if way[0] == 0:
        return [built({**spec, "type": spec.get("elements")}, way[1:], value)]
    required = {
        name: option.get("choices", ["x" * 12])[0] for name, option in spec["options"].items() if option.get("required")
    }
    return required | {str(way[0]): built(spec["options"][way[0]], way[1:], value)}


OPTIONS = {
    name: spec
    for path in sorted(ROLES.glob("*/meta/argument_specs.yml"))
    for entry in yaml.safe_load(path.read_text())["argument_specs"].values()
    for name, spec in entry["options"].items()
}
TEXT_OPTIONS = [
    pytest.param(name, type_, leaf, way, id=".".join(map(str, [name, *way])))
    for name, spec in OPTIONS.items()
    for type_, leaf, way in leaves(spec)
    if type_ in ("str", "path", "raw") and "choices" not in leaf
]


def test_there_are_as_many_as_expected() -> None:
    assert len(TEXT_OPTIONS) > 80
    assert sum(secret(leaf.values[2]) for leaf in TEXT_OPTIONS) > 10  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "type_", "leaf", "way"), TEXT_OPTIONS)
def test_what_is_no_text_any_more_gets_the_quotes_as_its_remedy(
    name: str, type_: str, leaf: dict[str, Any], way: list[str | int]
) -> None:
    place = name + "".join(f"[{part}]" if part == 0 else f".{part}" for part in way)
    for typed, kind in TYPED.items():
        value = yaml.safe_load(typed)
        problems = variable_problems({name: built(OPTIONS[name], way, value)}, str(ROLES))
        if type_ == "raw" and kind == "a number":
            assert problems == []
        else:
            shown = "" if secret(leaf) else f"{value}, "
            assert problems == [f"{place} is {shown}{kind}: put it in quotes."]


@pytest.mark.parametrize(("name", "type_", "leaf", "way"), TEXT_OPTIONS)
def test_what_is_text_without_quotes_is_taken_as_it_was_typed(
    name: str, type_: str, leaf: dict[str, Any], way: list[str | int]
) -> None:
    for typed in TEXTS:
        assert yaml.safe_load(typed) == typed
        assert variable_problems({name: built(OPTIONS[name], way, typed)}, str(ROLES)) == []


@pytest.mark.parametrize("name", OPTIONS)
def test_any_value_of_any_option_gets_sentences(name: str) -> None:
    values = [*OTHERS, *map(yaml.safe_load, TYPED), *TEXTS, "\ud800", "a\nb"]
    for value in [*values, *([value] for value in values), *({"name": value, "x": value} for value in values)]:
        for problem in variable_problems({name: value}, str(ROLES)):
            assert problem.startswith(name)
            assert problem[-1] in ".?"


def any_users() -> Iterator[dict[str, Any]]:
    """Yield users in which one part is replaced by a value of each kind."""
    values = [*OTHERS, *map(yaml.safe_load, TYPED), *TEXTS, "", "\ud800", "\0", "é" * 36, "x" * 73, datetime.date.min]
    for part in ("name", "password", "secret", "role", "read"):
        yield from ({"name": "ada", "password": "x" * 12, "secret": "x" * 12, part: value} for value in values)


def test_what_the_types_let_pass_makes_no_later_filter_fail() -> None:
    passed = 0
    for user in any_users():
        person: dict[str, Any] = {part: user[part] for part in ("name", "password", "role") if part in user}
        if not variable_problems({"nginx_users": [person]}, str(ROLES)) and not htpasswd_problems([person]):
            assert htpasswd([person], "seed")
            assert account([person], "admin") == person
            passed += 1
        owner: dict[str, Any] = {part: user[part] for part in ("name", "secret", "read") if part in user}
        if not variable_problems({"minio_users": [owner]}, str(ROLES)):
            content_problems([], [owner], "root", user["secret"])
            passed += 1
        target = {
            "backup_target": user["name"],
            "backup_password": user["password"],
            "backup_read_data": user["secret"],
        }
        if not variable_problems(target, str(ROLES)):
            rest = dict.fromkeys(("backup_ssh_key", "backup_ssh_known_hosts", "backup_s3_secret_key"), "")
            backup_problems(rest | {"backup_s3_access_key": "", "backup_keep": {"daily": 1}} | target, [])
            passed += 1
        if not variable_problems({"trackbox_host": user["name"]}, str(ROLES)):
            host_problems(user["name"])
            passed += 1
    assert passed > 100


@pytest.mark.parametrize("letter", ["\n", "\r", "\t", "\0", "\x1b", "\x7f", "\x85", "\ud800"])
def test_a_secret_with_a_control_character_is_refused_and_not_quoted(letter: str) -> None:
    for variables in (
        {"trackbox_admin_password": f"geheim{letter}geheim"},
        {"nginx_users": [{"name": "ada", "password": f"geheim{letter}geheim"}]},
        {"minio_users": [{"name": "ada", "secret": f"geheim{letter}geheim"}]},
    ):
        [problem] = variable_problems(variables, str(ROLES))
        assert problem.endswith(" has a line break or another control character: remove it.")
        assert not re.search("geheim", problem)


def test_a_key_in_pem_has_line_breaks() -> None:
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----\n"
    assert variable_problems({"backup_ssh_key": key, "nginx_certificate_key": key}, str(ROLES)) == []


@pytest.mark.parametrize("letters", list("'\"\\$%#`!;&<>~ :@/?=+{}[]|*éß😀") + ["{{ x }}", "{% x %}", "é"])
def test_any_other_character_may_be_in_a_secret(letters: str) -> None:
    word = f"{letters}x{letters}{letters} 12345678"
    assert variable_problems({"nginx_users": [{"name": "ada", "password": word}]}, str(ROLES)) == []
    assert htpasswd_problems([{"name": "ada", "password": word}]) == []
