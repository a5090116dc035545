"""The script that makes the installation's own certificate authority, with the real openssl."""

import re
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "files/certificate"

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder for the keys, in one for what everyone may read."""
    made = tmp_path / "nginx"
    made.mkdir()
    return made


def make(folder: Path, *names: str) -> str:
    """Run the script and return what it prints."""
    return subprocess.run([SCRIPT, folder, *names], check=True, capture_output=True, text=True, timeout=30).stdout


def shown(certificate: Path, *options: str) -> str:
    """Return what openssl shows of a certificate."""
    command = ["openssl", "x509", "-noout", "-in", str(certificate), *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def handshake(folder: Path, name: str) -> None:
    """Let a client that trusts this authority alone meet a server with the certificate; raises what the client does."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(folder / "server.crt", folder / "server.key")
    client = ssl.create_default_context(cafile=str(folder.parent / "ca.crt"))
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


def test_a_second_run_changes_nothing(folder: Path) -> None:
    make(folder, "vm.example.org")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert make(folder, "vm.example.org") == ""
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_another_name_gets_another_certificate_from_the_same_authority(folder: Path) -> None:
    make(folder, "vm.example.org")
    authority, first = (folder / "ca.crt").read_bytes(), (folder / "server.crt").read_bytes()
    assert make(folder, "vm.example.org", "vm2.example.org") == "changed\n"
    assert (folder / "ca.crt").read_bytes() == authority
    assert (folder / "server.crt").read_bytes() != first
    handshake(folder, "vm2.example.org")


def test_a_certificate_that_ends_within_30_days_is_made_again(folder: Path) -> None:
    make(folder, "vm.example.org")
    request = ["openssl", "req", "-x509", "-key", str(folder / "server.key"), "-days", "29", "-subj", "/CN=x"]
    subprocess.run([*request, "-out", str(folder / "server.crt")], check=True, capture_output=True)
    assert make(folder, "vm.example.org") == "changed\n"
    handshake(folder, "vm.example.org")


def test_browsers_take_it_a_server_for_at_most_398_days(folder: Path) -> None:
    make(folder, "vm.example.org")
    assert "TLS Web Server Authentication" in shown(folder / "server.crt", "-ext", "extendedKeyUsage")
    dates = dict(line.split("=") for line in shown(folder / "server.crt", "-dates").splitlines())
    seconds = [ssl.cert_time_to_seconds(dates[name]) for name in ("notBefore", "notAfter")]
    assert seconds[1] - seconds[0] <= 398 * 86400


def test_the_authority_signs_servers_and_no_other_authority(folder: Path) -> None:
    make(folder, "vm.example.org")
    assert re.search(r"CA:TRUE, pathlen:0", shown(folder / "ca.crt", "-ext", "basicConstraints"))


def test_keys_are_for_the_owner_and_the_authority_is_for_everyone(folder: Path) -> None:
    make(folder, "vm.example.org")
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in [*folder.iterdir(), folder.parent / "ca.crt"]}
    assert modes["ca.key"] == modes["server.key"] == "0o600"
    assert modes["ca.crt"] == "0o644"


def test_what_an_interrupted_run_left_does_no_harm(folder: Path) -> None:
    (folder / "ca.key.part").write_text("half a key")
    (folder / "server.csr").write_text("")
    assert make(folder, "vm.example.org") == "changed\n"
    handshake(folder, "vm.example.org")
    assert not list(folder.glob("*.part"))


def test_a_run_that_was_interrupted_between_key_and_certificate_is_mended(folder: Path) -> None:
    make(folder, "vm.example.org")
    (folder / "server.names").unlink()
    shutil.copy(folder / "ca.key", folder / "server.key")
    assert make(folder, "vm.example.org") == "changed\n"
    handshake(folder, "vm.example.org")
