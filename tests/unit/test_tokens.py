"""Tokens for NGINX: invalid settings are refused, and NGINX's configuration contains hashes instead of tokens."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
from tokens import ends, generated_logins, token_hashes, token_problems, with_tokens

NOW = 1_800_000_000  # 15 January 2027, 08:00 UTC
CI = {"name": "ci", "role": "admin", "end": "2027-03-31"}
SECRET = "abcdefgh" + "X" * 24


def problems(**changed: Any) -> list[str]:
    """Return the problems of the token `ci` with some values changed."""
    return token_problems([CI | changed], ["ada", "training"], NOW)


def test_good_tokens_pass() -> None:
    other: dict[str, Any] = {"name": "Otel.1_x-y", "role": "scorer", "end": "2027-01-15T08:01"}
    assert token_problems([CI, other | {"addresses": ["10.0.0.0/8", "::1"]}], ["ada"], NOW) == []


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\n", "a/b", "../x", ".x", "ä", "x" * 33, '"', "a;b", "$a", "a@b"])
def test_a_name_with_odd_characters_is_refused(name: str) -> None:
    [problem] = problems(name=name)
    assert problem.startswith(f"nginx_tokens: {name!r} cannot be a token's name")


@pytest.mark.parametrize("name", ["ada", "ADA", "Training"])
def test_the_name_of_a_user_is_refused(name: str) -> None:
    [problem] = problems(name=name)
    assert problem == f"nginx_tokens: {name} is the name of a user or of a program: give the token another one."


def test_a_name_that_is_there_twice_is_refused_once() -> None:
    [problem] = token_problems([CI, CI | {"name": "CI"}], [], NOW)
    assert problem == "nginx_tokens: ci is there 2 times, capitals aside: remove all but one."


@pytest.mark.parametrize("end", ["2027-01-14", "2027-01-15T07:59", "1999-12-31", "2027-01-15T08:59+01:00"])
def test_an_end_in_the_past_is_refused(end: str) -> None:
    assert problems(end=end) == [f"nginx_tokens: ci: it has ended ({end}): give it a later end, or remove it."]


@pytest.mark.parametrize("end", ["", "tomorrow", "2027-02-30", "31.01.2027", "2027-13-01", "2027-01-15T25:00", "never"])
def test_a_wrong_date_is_refused(end: str) -> None:
    [problem] = problems(end=end)
    assert problem.startswith(f"nginx_tokens: ci: its end is {end!r}: write a day or a time")


@pytest.mark.parametrize("role", ["", "owner", "Admin", None])
def test_an_unknown_role_is_refused(role: str) -> None:
    assert problems(role=role) == [f"nginx_tokens: ci: its role is {role!r}: take one of admin, viewer, scorer."]


@pytest.mark.parametrize("address", ["10.0.0", "10.0.0.256", "10.0.0.1/8", "10.0.0.0/33", "host.example", "1;2", ""])
def test_an_address_with_a_typo_is_refused(address: str) -> None:
    [problem] = problems(addresses=["10.0.0.0/8", address])
    assert problem.startswith(f"nginx_tokens: ci: {address!r} among its addresses is no address and no network")


@pytest.mark.parametrize("token", ["short", "x" * 31, "x" * 129, "x" * 31 + "-", "x" * 32 + "\n"])
def test_a_token_that_does_not_fit_is_refused_and_not_quoted(token: str) -> None:
    assert problems(token=token) == [
        "nginx_tokens: ci: its token does not fit: take 32 to 128 random letters and digits."
    ]


def test_two_tokens_with_the_same_beginning_are_refused_and_not_quoted() -> None:
    two = [CI | {"token": SECRET}, CI | {"name": "otel", "token": SECRET[:8].upper() + "Y" * 24}]
    [problem] = token_problems(two, [], NOW)
    assert problem.startswith("nginx_tokens: two tokens begin with the same 8 characters")
    assert SECRET[:8] not in problem


def test_a_day_ends_at_midnight_and_a_time_is_utc() -> None:
    assert ends("2027-01-15") == NOW + 16 * 3600
    assert ends("9999-12-31") > NOW
    assert ends("2027-01-15T08:00") == ends("2027-01-15T09:00+01:00") == NOW


def test_generated_tokens_go_to_those_that_say_none_in_order() -> None:
    found = with_tokens([CI, {"name": "own", "token": SECRET}, {"name": "otel"}], ["one", "two"])
    assert [(token["name"], token["token"]) for token in found] == [("ci", "one"), ("own", SECRET), ("otel", "two")]


def test_nginx_gets_hashes_of_what_clients_send_and_the_end() -> None:
    [found] = token_hashes([CI | {"token": SECRET}])
    login = base64.b64encode(f"ci:{SECRET}".encode()).decode()
    for form, sent in (("bearer", SECRET), ("basic", login)):
        coded, _, end = found[form].partition(",")
        assert base64.urlsafe_b64decode(coded + "==") == hashlib.md5(sent.encode()).digest()
        assert int(end) == ends("2027-03-31")
    assert found["beginning"] == "abcdefgh"
    assert SECRET[8:] not in str(found)
    assert "," not in token_hashes([{"name": "training", "token": SECRET}])[0]["bearer"]


def test_only_a_password_that_trackbox_generated_is_checked_like_a_token(tmp_path: Path) -> None:
    (tmp_path / "admin_password").write_text(SECRET + "\n")
    (tmp_path / "short_password").write_text("short")
    logins = [
        {"name": name, "password": password} for name, password in (("a", SECRET), ("b", "Y" * 32), ("c", "short"))
    ]
    assert generated_logins(logins, str(tmp_path)) == [{"name": "a", "password": SECRET, "token": SECRET}]
