"""The password file of NGINX's users, and the check of nginx_users."""

import bcrypt
import pytest
from htpasswd import COST, htpasswd, htpasswd_problems, login_secrets

ADA = {"name": "ada", "password": "a long password"}
EVE = {"name": "eve", "password": "another password"}


def hashes(text: str) -> dict[str, bytes]:
    """Return the hash of each user in the text of an htpasswd file."""
    return {name: hashed.encode() for name, _, hashed in (line.partition(":") for line in text.splitlines())}


def test_each_password_verifies_and_no_other_does() -> None:
    found = hashes(htpasswd([ADA, EVE], "seed"))
    assert list(found) == ["ada", "eve"]
    assert bcrypt.checkpw(ADA["password"].encode(), found["ada"])
    assert bcrypt.checkpw(EVE["password"].encode(), found["eve"])
    assert not bcrypt.checkpw(EVE["password"].encode(), found["ada"])


def test_a_password_of_72_bytes_counts_to_its_last() -> None:
    found = hashes(htpasswd([{"name": "ada", "password": "ä" * 36}], "seed"))
    assert bcrypt.checkpw(("ä" * 36).encode(), found["ada"])
    assert not bcrypt.checkpw(("ä" * 35 + "ab").encode(), found["ada"])


def test_a_second_run_writes_the_same_file() -> None:
    assert htpasswd([ADA, EVE], "seed") == htpasswd([ADA, EVE], "seed")


def test_the_salt_depends_on_the_seed_and_on_the_user() -> None:
    same = {"password": "the same password"}
    users = [{"name": "ada", **same}, {"name": "eve", **same}]
    found = [*hashes(htpasswd(users, "seed")).values(), *hashes(htpasswd(users, "other")).values()]
    assert len({hashed[:29] for hashed in found}) == 4


def test_a_hash_costs_what_was_measured() -> None:
    assert hashes(htpasswd([ADA], "seed"))["ada"].startswith(f"$2b${COST:02}$".encode())
    assert COST == 5


@pytest.mark.parametrize("name", ["ada:root", "", "ada lovelace", "ada\n", "$ada", "#ada"])
def test_a_name_that_htpasswd_cannot_hold_is_refused(name: str) -> None:
    [problem] = htpasswd_problems([{**ADA, "name": name}])
    assert problem == f"nginx_users: {name!r} cannot be a user's name: take letters, digits and . _ @ -, no colon."


def test_a_user_who_is_there_twice_is_refused_once() -> None:
    assert htpasswd_problems([ADA, EVE, ADA]) == ["nginx_users: ada is there 2 times: remove all but one."]


@pytest.mark.parametrize("password", ["short", "x" * 73, "ä" * 37])
def test_a_password_that_is_too_short_or_cut_off_is_refused_and_not_quoted(password: str) -> None:
    [problem] = htpasswd_problems([{**ADA, "password": password}])
    assert problem == "nginx_users: the password of ada does not fit: give it 12 to 72 bytes."


def test_good_users_pass() -> None:
    assert htpasswd_problems([ADA, EVE, {"name": "ada@example.org", "password": "x" * 72}]) == []


def test_the_secrets_of_a_login_are_its_password_and_what_a_client_sends() -> None:
    assert login_secrets([{"name": "ada", "password": "a long password"}]) == {
        "the password of ada": "a long password",
        "the login of ada": "YWRhOmEgbG9uZyBwYXNzd29yZA==",
    }
