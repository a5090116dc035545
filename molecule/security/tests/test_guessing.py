"""A failed login does not reveal whether the user exists, and NGINX slows down an address that tries many names."""

from __future__ import annotations

import base64
import http.client
import secrets
import ssl
import statistics
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from machine import Machine

ROUNDS = 80


def test_an_unknown_name_takes_as_long_as_a_wrong_password(
    machine: Machine, viewer: dict[str, str], attacks: Counter[str]
) -> None:
    # Use the viewer, because NGINX compares the viewer's password with a bcrypt hash. Generated passwords have no
    # bcrypt hash.
    taken: dict[str, list[float]] = {"known": [], "unknown": []}
    trust = ssl.create_default_context(cafile=str(machine.secrets / "ca.crt"))
    line = http.client.HTTPSConnection(machine.address, timeout=15, context=trust)
    for _ in range(ROUNDS):
        # Try both names alternately, so that other load delays them equally. Stay below five failed logins a second,
        # because NGINX delays the responses to more failed logins.
        for kind, user in (("known", viewer["user"]), ("unknown", f"nobody{secrets.token_hex(2)}")):
            attacks["network"] += 1
            login = base64.b64encode(f"{user}:a wrong password".encode()).decode()
            began = time.perf_counter()
            line.request("GET", "/version", headers={"Authorization": f"Basic {login}"})
            answer = line.getresponse()
            answer.read()
            taken[kind].append(time.perf_counter() - began)
            assert answer.status == 401
            time.sleep(0.22)
    line.close()
    known, unknown = statistics.median(taken["known"]), statistics.median(taken["unknown"])
    # Computing a password hash takes about 1.5 ms. If NGINX skipped the hash for one name, the times would differ more.
    assert abs(known - unknown) < max(0.0008, 0.02 * known), (known, unknown)


@pytest.mark.parametrize("names", [40])
@pytest.mark.parametrize("path", ["/", "/serving/fraud/invocations"])
def test_a_source_that_tries_many_names_is_slowed_down(
    machine: Machine, attacks: Counter[str], names: int, path: str
) -> None:
    time.sleep(3)
    admin = {"user": "admin", "password": machine.secret("admin_password")}
    began = time.monotonic()
    with ThreadPoolExecutor(names) as pool:
        guesses = [pool.submit(machine.ask, path, user=f"name{number}", password="x") for number in range(names)]
        attacks["network"] += names
        # Requests with the right password from the same address are not slowed down.
        for _ in range(5):
            asked = time.monotonic()
            assert machine.ask("/version", **admin).status == 200
            assert time.monotonic() - asked < 2
        assert {guess.result().status for guess in guesses} == {401}
    # NGINX sends only five responses to failed logins a second.
    assert time.monotonic() - began > names / 5 - 2
    time.sleep(1)
