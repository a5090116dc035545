"""Certificate authorities, certificates and keys for tests, both valid and invalid ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True)
class Signed:
    """A certificate and its private key."""

    certificate: x509.Certificate
    private: Any

    @property
    def pem(self) -> str:
        """The certificate in PEM."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def key(self, passphrase: str = "") -> str:
        """Return the private key in PEM, encrypted if there is a passphrase."""
        protection = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection).decode()


def general(name: str) -> x509.GeneralName:
    """Return a host name or IP address as a name for the extension subjectAltName of a certificate."""
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def sign(
    name: str,
    by: Signed | None = None,
    *,
    names: Sequence[str] = (),
    days: tuple[int, int] = (-1, 90),
    private: Any = None,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
    responder: str = "",
) -> Signed:
    """Create the certificate of a server, or of an authority if there are no `names`. by: issuer; None: self-signed.

    days: start and end of the validity in days from today. responder: URL of the OCSP responder.
    """
    private = private or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days[0]))
        .not_valid_after(now + timedelta(days[1]))
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
    )
    if by:
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.private.public_key())
        builder = builder.add_extension(issuer, critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(map(general, names)), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    else:
        signs = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"), False
        )
        signs |= dict.fromkeys(("key_agreement", "encipher_only", "decipher_only"), False)
        builder = builder.add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **signs), critical=True)
    if responder:
        access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(responder))
        builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
    signer = by.private if by else private
    return Signed(
        builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()), private
    )


def weak_key() -> Any:
    """Return an RSA key that is too short."""
    return rsa.generate_private_key(public_exponent=65537, key_size=1024)


def write_mistakes(folder: Path, host: str) -> None:
    """Write a valid certificate of `host`, and invalid ones that users might supply: NAME.pem, NAME.key and ca.crt."""
    root = sign("Example Root", days=(-1, 3650))
    between = sign("Example R3", root, days=(-1, 900))
    made = {
        "good": sign(host, between, names=[host]),
        "expired": sign(host, between, names=[host], days=(-90, -1)),
        "early": sign(host, between, names=[host], days=(2, 90)),
        "other": sign("vm2.example.org", between, names=["vm2.example.org", "*.example.net"]),
        "weak": sign(host, between, names=[host], private=weak_key()),
        "client": sign(host, between, names=[host], usage=ExtendedKeyUsageOID.CLIENT_AUTH),
    }
    for name, one in made.items():
        (folder / f"{name}.pem").write_text(one.pem + between.pem)
        (folder / f"{name}.key").write_text(one.key())
    good = made["good"]
    (folder / "reversed.pem").write_text(between.pem + good.pem)
    (folder / "incomplete.pem").write_text(good.pem)
    (folder / "both.pem").write_text(good.pem + between.pem + good.key())
    (folder / "locked.key").write_text(good.key("geheim"))
    (folder / "ca.crt").write_text(root.pem)
    (folder / "ca-with-key.crt").write_text(root.pem + root.key())
    (folder / "no.pem").write_text("geheim")
