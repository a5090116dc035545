"""Filters that check NGINX's certificate before it is copied to a machine, and that return its OCSP responder."""

from __future__ import annotations

import contextlib
import itertools
import ssl
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address
from typing import Any

# Ignore a missing cryptography library, because ansible-test loads the filters without it. ansible-core always has it.
with contextlib.suppress(ImportError):
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
    from cryptography.utils import CryptographyDeprecationWarning
    from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

Chain = Sequence["x509.Certificate"]
BETTER = "get one with an RSA key of 2048 bits or more, or one on the curve P-256 or P-384."
IN_PEM = "is no file with a certificate in PEM: name one that begins with -----BEGIN CERTIFICATE-----."


def loaded(pem: str | None) -> Chain:
    """Return the certificates in a PEM text; an empty list if it contains none, or one that cannot be parsed."""
    try:
        return x509.load_pem_x509_certificates((pem or "").encode())
    except ValueError:
        return []


@cache
def public_authorities() -> Chain:
    """Return the authorities that this controller trusts; an empty list if Python cannot list them, as on macOS."""
    found = []
    with warnings.catch_warnings():
        # Suppress warnings about old authorities, whose certificates violate newer rules.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        for der in ssl.create_default_context().get_ca_certs(binary_form=True):
            with contextlib.suppress(ValueError):
                found.append(x509.load_der_x509_certificate(der))
    return found


def title(name: x509.Name) -> str:
    """Return the common name (CN) of a certificate's subject or issuer; without a CN, the whole distinguished name."""
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()


def signed(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Return whether the authority signed the certificate."""
    if certificate.issuer != authority.subject:
        return False
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, TypeError):
        return False
    except (UnsupportedAlgorithm, ValueError):
        # The library cannot check a signature with this old algorithm. So `weaknesses` reports the algorithm instead.
        return True
    return True


def extension(certificate: x509.Certificate, kind: type[Any]) -> Any:
    """Return the value of a certificate's extension; None if the certificate lacks it."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def covers(name: str, host: str) -> bool:
    """Return whether a certificate's name matches the host. A wildcard `*` matches the host's first label."""
    try:
        return ip_address(name) == ip_address(host)
    except ValueError:
        name, host = name.lower(), host.lower()
        return name == host or (name.startswith("*.") and name[2:] == host.partition(".")[2])


def key_problem(pem: str, chain: Chain) -> str:
    """Return an error message if the key is not the private key of the chain's first certificate; empty if it is.

    The message does not quote the key.
    """
    der = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        key = load_pem_private_key(pem.encode(), None).public_key().public_bytes(*der)
    except TypeError:
        return (
            "nginx_certificate_key has a passphrase, and nobody can type it at boot: remove it with `openssl pkey`, "
            "and encrypt the file by ansible-vault instead."
        )
    except (ValueError, UnsupportedAlgorithm):
        return (
            "nginx_certificate_key is no private key in PEM: name a file that begins with -----BEGIN PRIVATE KEY-----."
        )
    keys = [certificate.public_key().public_bytes(*der) for certificate in chain]
    first = title(chain[0].subject)
    if key not in keys:
        return (
            f"nginx_certificate_key is not the key of {first}, the first certificate in nginx_certificate: name the "
            "key that it was requested with."
        )
    if keys.index(key):
        return (
            f"nginx_certificate is in the wrong order, {first} comes first: put the server's own certificate first, "
            "and after each the one that signed it."
        )
    return ""


def chain_problem(chain: Chain, private: Chain) -> str:
    """Return an error message if clients cannot verify the chain up to a trusted authority; empty if they can."""
    for certificate, after in itertools.pairwise(chain):
        if not signed(certificate, after):
            wrong = "in the wrong order" if any(signed(certificate, other) for other in chain) else "incomplete"
            who, issuer = title(certificate.subject), title(certificate.issuer)
            return f"nginx_certificate is {wrong}: put {issuer}, which signed {who}, after it."
    last = chain[-1]
    authorities = private or public_authorities()
    if not authorities or last in authorities or any(signed(last, authority) for authority in authorities):
        return ""
    trusted = "in trackbox_ca_certificate" if private else "one that this controller trusts"
    remedy = (
        "name the right one." if private else "name a private authority's own certificate in trackbox_ca_certificate."
    )
    return (
        f"nginx_certificate ends with {title(last.subject)}, and its authority {title(last.issuer)} is not {trusted}: "
        f"add the certificates between them, or {remedy}"
    )


def weaknesses(certificate: x509.Certificate, now: datetime) -> Iterator[str]:
    """Yield an error message if clients would refuse the certificate's key, signature algorithm or dates."""
    key, who = certificate.public_key(), f"nginx_certificate: {title(certificate.subject)}"
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < 2048:
        yield f"{who} has an RSA key of {key.key_size} bits, which clients refuse: {BETTER}"
    if not isinstance(key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)) or (
        isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name not in ("secp256r1", "secp384r1")
    ):
        yield f"{who} has a key of a kind that not all browsers know: {BETTER}"
    hashed = certificate.signature_hash_algorithm
    # Skip a self-signed certificate, because clients do not check its signature.
    if hashed and certificate.issuer != certificate.subject and hashed.name in ("md5", "sha1"):
        yield f"{who} is signed with {hashed.name.upper()}, which clients refuse: get one that is signed with SHA-256."
    if now > certificate.not_valid_after_utc:
        yield f"{who} expired on {certificate.not_valid_after_utc:%Y-%m-%d}: renew it."
    if now < certificate.not_valid_before_utc:
        begin = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M}"
        yield f"{who} is not valid before {begin} UTC: wait until then, or set the controller's clock."


def certificate_problems(pem: str | None, key: str | None, authority: str | None, host: str) -> list[str]:
    """Return an error message for each reason why clients or NGINX would not accept the certificate.

    pem: the server's certificate and the intermediate ones. key: its private key. authority: the certificate of a
    private authority, or empty. host: the name or address that clients use. All except host are PEM texts.
    """
    chain, private = loaded(pem), loaded(authority)
    if not chain:
        return [f"nginx_certificate {IN_PEM}"]
    if "PRIVATE KEY" in (pem or ""):
        return ["nginx_certificate holds a private key: move it to the file that nginx_certificate_key names."]
    problem = key_problem(key or "", chain) or chain_problem(chain, private)
    problems = [problem] if problem else []
    for certificate in chain:
        problems += weaknesses(certificate, datetime.now(UTC))
    found = extension(chain[0], x509.SubjectAlternativeName)
    names = [str(name.value) for name in found or () if isinstance(name, (x509.DNSName, x509.IPAddress))]
    if not any(covers(name, host) for name in names):
        problems.append(
            f"nginx_certificate is for {', '.join(names) or 'no name'}, and trackbox_host is {host}: get one for it, "
            "or change trackbox_host."
        )
    usage = extension(chain[0], x509.ExtendedKeyUsage)
    if usage is not None and ExtendedKeyUsageOID.SERVER_AUTH not in usage:
        problems.append("nginx_certificate is not for servers: get one with the extended key usage serverAuth.")
    return problems


def authority_problems(pem: str | None, variable: str) -> list[str]:
    """Return an error message if a variable contains no certificate of an authority, or contains a private key.

    pem: the variable's text; None if the file that it names does not exist.
    """
    if "PRIVATE KEY" in (pem or ""):
        return [f"{variable} holds a private key, which clients must not get: name the certificate alone."]
    return [] if loaded(pem) else [f"{variable} {IN_PEM}"]


def ocsp_responder(pem: str | None) -> str:
    """Return the URL of the OCSP responder that the server's certificate names; empty if it names none."""
    chain = loaded(pem)
    access = extension(chain[0], x509.AuthorityInformationAccess) if chain else None
    found = [one for one in access or () if one.access_method == AuthorityInformationAccessOID.OCSP]
    return str(found[0].access_location.value) if found else ""


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return a mapping from the name of each filter to its function."""
        return {
            "authority_problems": authority_problems,
            "certificate_problems": certificate_problems,
            "ocsp_responder": ocsp_responder,
        }
