"""Tests, with the real openssl, of the script that creates the installation's own certificate authority."""

import re
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from pki import Signed, sign

URL = "http://vm.example.org/ca.crl"
SCRIPT = Path(__file__).parents[2] / "roles/nginx/files/certificate"

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder for keys. Its parent folder is for the files that everyone may read."""
    made = tmp_path / "nginx"
    made.mkdir()
    return made


def make(folder: Path, *names: str) -> str:
    """Run the script; return its output."""
    return subprocess.run([SCRIPT, folder, URL, *names], check=True, capture_output=True, text=True, timeout=30).stdout


def shown(certificate: Path, *options: str) -> str:
    """Return the output of `openssl x509` for a certificate."""
    command = ["openssl", "x509", "-noout", "-in", str(certificate), *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def handshake(folder: Path, name: str, authority: Path | None = None) -> None:
    """Connect a client that trusts `authority` (default: ca.crt) to a server with server.pem; raise any TLS error."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(folder / "server.pem")
    client = ssl.create_default_context(cafile=str(authority or folder.parent / "ca.crt"))
    # Set VERIFY_X509_STRICT, as Python 3.13 does by default, and check the revocation list.
    client.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_CRL_CHECK_LEAF
    revoked = x509.load_der_x509_crl((folder.parent / "ca.crl").read_bytes())
    (folder.parent / "ca.crl.pem").write_bytes(revoked.public_bytes(Encoding.PEM))
    client.load_verify_locations(folder.parent / "ca.crl.pem")
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert sides[0].version() == "TLSv1.3"


@pytest.mark.parametrize("name", ["vm.example.org", "localhost", "127.0.0.1", "::1"])
def test_a_client_that_trusts_the_authority_trusts_every_name(folder: Path, name: str) -> None:
    assert make(folder, "vm.example.org", "localhost", "127.0.0.1", "::1") == "changed\n"
    handshake(folder, name)


def test_a_client_refuses_another_name(folder: Path) -> None:
    make(folder, "vm.example.org")
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(folder, "other.example.org")


def test_everyone_may_read_when_each_certificate_ends(folder: Path) -> None:
    make(folder, "vm.example.org")
    (folder / "provided.pem").write_bytes((folder / "server.pem").read_bytes())
    (folder / "empty.pem").touch()
    make(folder, "vm.example.org")
    certificate = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
    dates = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    times = " ".join(str(int(date.timestamp())) for date in dates)
    assert (folder.parent / "certificates").read_text() == f"provided {times}\nserver {times}\n"
    assert (folder.parent / "certificates").stat().st_mode & 0o777 == 0o644
    # After a certificate is removed, the next run of the script removes it from the file `certificates`.
    (folder / "provided.pem").unlink()
    make(folder, "other.example.org")
    assert (folder.parent / "certificates").read_text().startswith("server ")


def test_a_second_run_changes_nothing(folder: Path) -> None:
    make(folder, "vm.example.org")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert make(folder, "vm.example.org") == ""
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def age(folder: Path, file: str, days: int) -> None:
    """Replace a certificate by a self-signed one that has the same key and expires in `days` days."""
    key = folder / ("ca.key" if file == "ca.crt" else "server.pem")
    ending = ["openssl", "x509", "-in", str(folder / file), "-signkey", str(key), "-days", str(days)]
    made = subprocess.run(ending, check=True, capture_output=True, text=True).stdout
    (folder / file).write_text(made + (key.read_text().partition("-----BEGIN CERT")[0] if file == "server.pem" else ""))


def test_another_name_gets_another_certificate_and_the_authority_keeps_its_key(folder: Path) -> None:
    make(folder, "vm.example.org")
    before = folder.parent / "before.crt"
    before.write_bytes((folder / "ca.crt").read_bytes())
    key, first = (folder / "ca.key").read_bytes(), (folder / "server.pem").read_bytes()
    assert make(folder, "vm.example.org", "vm2.example.org") == "changed\n"
    assert (folder / "ca.key").read_bytes() == key
    assert (folder / "server.pem").read_bytes() != first
    handshake(folder, "vm2.example.org")
    # A client with the old authority certificate still accepts a server certificate that contains only the old names.
    make(folder, "vm.example.org")
    handshake(folder, "vm.example.org", before)


def test_a_certificate_that_ends_within_30_days_is_made_again(folder: Path) -> None:
    make(folder, "vm.example.org")
    age(folder, "server.pem", 29)
    assert make(folder, "vm.example.org") == "changed\n"
    handshake(folder, "vm.example.org")


def test_one_that_ends_later_is_kept(folder: Path) -> None:
    make(folder, "vm.example.org")
    age(folder, "server.pem", 31)
    assert make(folder, "vm.example.org") == ""


def test_an_authority_that_ends_within_two_years_is_signed_anew_and_both_are_good(folder: Path) -> None:
    make(folder, "vm.example.org")
    age(folder, "ca.crt", 729)
    before = folder.parent / "before.crt"
    before.write_bytes((folder / "ca.crt").read_bytes())
    make(folder, "vm.example.org")
    assert (folder / "ca.crt").read_bytes() == (folder.parent / "ca.crt").read_bytes() != before.read_bytes()
    assert "notAfter" in shown(folder / "ca.crt", "-enddate", "-checkend", str(3649 * 86400))
    age(folder, "server.pem", 1)
    assert make(folder, "vm.example.org") == "changed\n"
    for authority in (before, folder / "ca.crt"):
        handshake(folder, "vm.example.org", authority)


def test_two_authorities_of_one_name_have_serial_numbers_of_their_own(folder: Path) -> None:
    make(folder, "vm.example.org")
    first = shown(folder / "ca.crt", "-serial")
    make(folder, "vm2.example.org")
    assert shown(folder / "ca.crt", "-serial") != first


def test_what_is_replaced_is_revoked(folder: Path) -> None:
    make(folder, "vm.example.org")
    stolen = (folder / "server.pem").read_bytes()
    (folder / "server.names").unlink()
    make(folder, "vm.example.org")
    handshake(folder, "vm.example.org")
    (folder / "server.pem").write_bytes(stolen)
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate revoked"):
        handshake(folder, "vm.example.org")


def test_the_certificate_says_where_the_list_is_which_lasts_longer_than_it(folder: Path) -> None:
    make(folder, "vm.example.org")
    assert URL in shown(folder / "server.pem", "-ext", "crlDistributionPoints")
    revoked = x509.load_der_x509_crl((folder.parent / "ca.crl").read_bytes())
    certificate = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
    assert revoked.next_update_utc is not None
    assert revoked.next_update_utc > certificate.not_valid_after_utc


@pytest.mark.parametrize("name", ["bank.example.org", "192.0.2.1", "::2"])
def test_who_steals_the_authority_can_be_this_machine_and_nobody_else(folder: Path, name: str) -> None:
    make(folder, "vm.example.org", "::1")
    key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
    stolen = Signed(x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes()), key)
    forged = sign("x", stolen, names=[name])
    (folder / "server.pem").write_text(forged.key() + forged.pem)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(folder, name)


def test_browsers_take_it_a_server_for_at_most_398_days(folder: Path) -> None:
    make(folder, "vm.example.org")
    assert "TLS Web Server Authentication" in shown(folder / "server.pem", "-ext", "extendedKeyUsage")
    dates = dict(line.split("=") for line in shown(folder / "server.pem", "-dates").splitlines())
    seconds = [ssl.cert_time_to_seconds(dates[name]) for name in ("notBefore", "notAfter")]
    assert seconds[1] - seconds[0] <= 398 * 86400


def test_the_authority_signs_servers_and_no_other_authority(folder: Path) -> None:
    make(folder, "vm.example.org")
    assert re.search(r"CA:TRUE, pathlen:0", shown(folder / "ca.crt", "-ext", "basicConstraints"))


def test_keys_are_for_the_owner_and_the_authority_is_for_everyone(folder: Path) -> None:
    make(folder, "vm.example.org")
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in [*folder.iterdir(), folder.parent / "ca.crt"]}
    assert modes["ca.key"] == modes["server.pem"] == "0o600"
    assert modes["ca.crt"] == "0o644"


def test_what_an_interrupted_run_left_does_no_harm(folder: Path) -> None:
    for name in ("ca.key.part", "ca.crt.part", "server.pem.part", "key.part", "error"):
        (folder / name).write_text("half a key")
    assert make(folder, "vm.example.org") == "changed\n"
    handshake(folder, "vm.example.org")
    assert not list(folder.glob("*.part"))


def test_a_run_that_was_interrupted_between_authority_and_certificate_is_mended(folder: Path) -> None:
    make(folder, "vm.example.org")
    before = (folder / "server.pem").read_bytes()
    make(folder, "vm2.example.org")
    (folder / "server.pem").write_bytes(before)
    (folder / "server.names").unlink()
    assert make(folder, "vm2.example.org") == "changed\n"
    handshake(folder, "vm2.example.org")


def test_an_authority_without_its_key_is_replaced(folder: Path) -> None:
    make(folder, "vm.example.org")
    (folder / "ca.key").unlink()
    (folder / "server.names").unlink()
    assert make(folder, "vm.example.org") == "changed\n"
    handshake(folder, "vm.example.org")


def test_a_long_machine_name_and_a_long_host_name_fit(folder: Path) -> None:
    host = ".".join(["a" * 60] * 3)
    make(folder, host)
    handshake(folder, host)
