"""Problems of a certificate that the user supplies, and their error messages."""

import shlex
import subprocess
from pathlib import Path

import pytest
from certificate import authority_problems, certificate_problems, covers, ocsp_responder
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from pki import Signed, sign

HOST = "vm.example.org"
ROOT = sign("Example Root", days=(-1, 3650))
BETWEEN = sign("Example R3", ROOT)
GOOD = sign(HOST, BETWEEN, names=[HOST, "10.1.2.3"])


def problems(one: Signed = GOOD, *after: Signed, key: str = "", ca: str = ROOT.pem, host: str = HOST) -> list[str]:
    """Return the problems of a certificate and its chain. after: the rest of the chain (default: the intermediate)."""
    chain = one.pem + "".join(other.pem for other in after or (BETWEEN,))
    return certificate_problems(chain, key or one.key(), ca, host)


@pytest.mark.parametrize("host", [HOST, "10.1.2.3", "VM.Example.Org"])
def test_a_good_certificate_has_none(host: str) -> None:
    assert problems(host=host) == []


def test_the_authority_itself_may_come_last() -> None:
    assert problems(GOOD, BETWEEN, ROOT) == []


def test_a_certificate_that_signed_itself_is_its_own_authority() -> None:
    alone = sign(HOST, names=[HOST])
    assert certificate_problems(alone.pem, alone.key(), alone.pem, HOST) == []
    [said] = certificate_problems(alone.pem, alone.key(), "", HOST)
    assert "is not one that this controller trusts" in said


@pytest.mark.parametrize(
    ("name", "host", "wanted"),
    [
        ("*.example.org", "vm.example.org", True),
        ("*.example.org", "a.vm.example.org", False),
        ("*.example.org", "example.org", False),
        ("example.org", "vm.example.org", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("::1", "0:0:0:0:0:0:0:1", True),
        ("10.1.2.3", "10.1.2.4", False),
    ],
)
def test_a_star_stands_for_the_first_label_alone(name: str, host: str, wanted: bool) -> None:
    assert covers(name, host) is wanted


def test_another_key_is_named_with_its_certificate() -> None:
    assert problems(key=sign("x").key()) == [
        "nginx_certificate_key is not the key of vm.example.org, the first certificate in nginx_certificate: name the "
        "key that it was requested with."
    ]


@pytest.mark.parametrize("text", ["", "no key", GOOD.pem])
def test_a_key_that_is_none_is_refused_and_not_quoted(text: str) -> None:
    [said] = certificate_problems(GOOD.pem + BETWEEN.pem, text, ROOT.pem, HOST)
    assert said.startswith("nginx_certificate_key is no private key in PEM: name ")


def test_the_intermediate_first_is_the_wrong_order() -> None:
    assert certificate_problems(BETWEEN.pem + GOOD.pem, GOOD.key(), ROOT.pem, HOST)[0].startswith(
        "nginx_certificate is in the wrong order, Example R3 comes first: "
    )


def test_the_authority_before_the_intermediate_is_the_wrong_order() -> None:
    assert problems(GOOD, ROOT, BETWEEN) == [
        "nginx_certificate is in the wrong order: put Example R3, which signed vm.example.org, after it."
    ]


def test_a_certificate_of_somebody_else_after_it_is_a_gap() -> None:
    assert problems(GOOD, sign("Somebody")) == [
        "nginx_certificate is incomplete: put Example R3, which signed vm.example.org, after it."
    ]


def test_the_certificate_alone_where_one_is_between_it_and_its_authority_is_incomplete() -> None:
    assert certificate_problems(GOOD.pem, GOOD.key(), "", HOST) == [
        "nginx_certificate ends with vm.example.org, and its authority Example R3 is not one that this controller "
        "trusts: add the certificates between them, or name a private authority's own certificate in "
        "trackbox_ca_certificate."
    ]
    assert certificate_problems(GOOD.pem, GOOD.key(), ROOT.pem, HOST)[0].endswith(
        "is not in trackbox_ca_certificate: add the certificates between them, or name the right one."
    )


def test_another_authority_of_the_same_name_does_not_count() -> None:
    assert "is not in trackbox_ca_certificate" in problems(ca=sign("Example Root").pem)[0]


@pytest.mark.parametrize(
    ("days", "said"),
    [((-90, -1), " expired on "), ((1, 90), " is not valid before ")],
)
def test_it_must_be_valid_today_and_so_must_what_is_between(days: tuple[int, int], said: str) -> None:
    assert said in problems(sign(HOST, BETWEEN, names=[HOST], days=days))[0]
    between = sign("Example R3", ROOT, days=days)
    assert f"nginx_certificate: Example R3{said}" in problems(sign(HOST, between, names=[HOST]), between)[0]


@pytest.mark.parametrize("private", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP521R1())])
def test_a_key_that_browsers_do_not_know_is_refused(private: ed25519.Ed25519PrivateKey) -> None:
    assert (
        "has a key of a kind that not all browsers know: get "
        in problems(sign(HOST, BETWEEN, names=[HOST], private=private))[0]
    )


def test_sha1_is_refused_but_in_how_an_authority_signed_itself(tmp_path: Path) -> None:
    """Create the certificates with openssl, because the Python library no longer signs with SHA-1."""
    (tmp_path / "ca.key").write_text(BETWEEN.key())
    (tmp_path / "ca.crt").write_text(BETWEEN.pem)
    (tmp_path / "old.key").write_text(GOOD.key())
    request = f"openssl req -x509 -sha1 -key old.key -days 9 -subj /CN=old -addext subjectAltName=DNS:{HOST}"
    for command in (f"{request} -CA ca.crt -CAkey ca.key -out old.pem", f"{request} -out alone.pem"):
        subprocess.run(shlex.split(command), cwd=tmp_path, check=True, capture_output=True)
    [said] = certificate_problems((tmp_path / "old.pem").read_text() + BETWEEN.pem, GOOD.key(), ROOT.pem, HOST)
    assert "old is signed with SHA1, which clients refuse: get" in said
    alone = (tmp_path / "alone.pem").read_text()
    assert certificate_problems(alone, GOOD.key(), alone, HOST) == []


def test_the_common_name_alone_is_no_name() -> None:
    made = sign(HOST, BETWEEN)
    assert problems(made) == [
        f"nginx_certificate is for no name, and trackbox_host is {HOST}: get one for it, or change trackbox_host."
    ]


@pytest.mark.parametrize("pem", [None, "", "no certificate", GOOD.key()])
def test_an_authority_that_is_none_is_refused(pem: str | None) -> None:
    [said] = authority_problems(pem, "nginx_acme_ca")
    assert said.startswith("nginx_acme_ca ")
    assert said.endswith(".")


def test_the_responder_is_the_one_that_the_certificate_names() -> None:
    made = sign(HOST, BETWEEN, names=[HOST], responder="http://ocsp.example.org")
    assert ocsp_responder(made.pem) == "http://ocsp.example.org"
    assert [ocsp_responder(pem) for pem in (GOOD.pem, "", None)] == ["", "", ""]
