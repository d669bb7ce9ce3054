"""Certificates of an installation: of a local authority that is made here, or given ones, which are checked.

A leaf certificate and its private key are one PEM file. It is replaced in one step, so nobody reads a certificate with
another one's key; ``mongod`` wants it so, and the services take it as well.

The authority lives ten years. A leaf lives 90 days, is renewed when a third of them is left, and serves both ways:
members show it to clients and to each other.
"""

from __future__ import annotations

import hashlib
import ipaddress
import itertools
import secrets
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from prodcore.errors import ConfigError
from prodcore.installation.secret import CA_FILE, CA_KEY_FILE
from prodcore.support.secure_files import write_private

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError:  # the base installation talks to systems, and makes none
    raise ConfigError("certificates need the package cryptography", hint="pip install 'prodctl[server]'") from None

E = TypeVar("E", bound=x509.ExtensionType)

_AUTHORITY_LIFE = timedelta(days=3650)
_LEAF_LIFE = timedelta(days=90)
_CLOCK_SKEW = timedelta(hours=1)
_BOTH_WAYS = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True, slots=True)
class LeafFacts:
    """What a leaf certificate says of itself; times are UTC."""

    serial_number: int
    begins: datetime
    ends: datetime
    names: frozenset[str]
    """The host names and addresses that it is for."""
    fingerprint: str
    """SHA-256, in hex."""

    def is_due(self, names: Iterable[str], now: datetime) -> bool:
        """Whether it is to be renewed: a third of its life is left, or it lacks one of these names."""
        return not self.names >= set(names) or self.ends - now <= (self.ends - self.begins) / 3


class Authority:
    """A local authority, kept in a directory; made there when it is first asked for. Raises ConfigError."""

    def __init__(self, directory: Path, now: datetime) -> None:
        self.ca_file = directory / CA_FILE
        self._key_file = directory / CA_KEY_FILE
        if not self.ca_file.exists():
            self._make(now)
        try:
            [self._certificate] = x509.load_pem_x509_certificates(self.ca_file.read_bytes())
            key = serialization.load_pem_private_key(self._key_file.read_bytes(), None)
        except (OSError, ValueError, TypeError):
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != self._certificate.public_key():
            raise ConfigError(
                f"{self._key_file} and {self.ca_file.name} are not a certificate authority",
                hint="restore them from a copy; or remove both while the system is stopped: new ones are created",
            )
        self._key = key

    def _make(self, now: datetime) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        # Of two authorities with the same name, clients would try the wrong one's key.
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"prodctl authority {secrets.token_hex(4)}")])
        certificate = (
            _builder(name, name, key.public_key(), now, now + _AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        write_private(self._key_file, _private_pem(key))
        write_private(self.ca_file, certificate.public_bytes(serialization.Encoding.PEM))  # last: with it all is there

    def issue(self, names: Sequence[str], now: datetime) -> bytes:
        """A new private key and a certificate for these host names and addresses, as one PEM text."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        ends = min(now + _LEAF_LIFE, self._certificate.not_valid_after_utc)
        certificate = (
            _builder(subject, self._certificate.subject, key.public_key(), now, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(_BOTH_WAYS), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(authority, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return _private_pem(key) + certificate.public_bytes(serialization.Encoding.PEM)

    def renew(self, leaf_file: Path, names: Sequence[str], now: datetime, *, in_any_case: bool = False) -> bool:
        """Write a new leaf, unless there is one that is good for a while yet. Returns whether it did."""
        if not in_any_case and leaf_file.exists() and self._is_good(leaf_file, names, now):
            return False
        return write_private(leaf_file, self.issue(names, now))

    def _is_good(self, leaf_file: Path, names: Sequence[str], now: datetime) -> bool:
        try:
            check_leaf(leaf_file, self.ca_file, names, now)
        except ConfigError:  # of a former authority, or cut short
            return False
        return not read_leaf(leaf_file).is_due(names, now)


def ensure_leaf(leaf_file: Path, names: Sequence[str], now: datetime, *, in_any_case: bool = False) -> None:
    """Make a leaf by the authority of its directory where there is none that is good for a while yet.

    A directory with ``ca.pem`` and without ``ca-key.pem`` holds given files: they are checked, and left as they are.
    Raises ConfigError.
    """
    directory = leaf_file.parent
    if (directory / CA_FILE).exists() and not (directory / CA_KEY_FILE).exists():
        check_leaf(leaf_file, directory / CA_FILE, names, now)
    else:
        Authority(directory, now).renew(leaf_file, names, now, in_any_case=in_any_case)


def read_leaf(path: Path) -> LeafFacts:
    """What the certificate of a PEM file says of itself. Raises ConfigError."""
    leaf = _load_certificates(path)[0]
    return LeafFacts(
        leaf.serial_number,
        leaf.not_valid_before_utc,
        leaf.not_valid_after_utc,
        frozenset(_names(leaf)),
        leaf.fingerprint(hashes.SHA256()).hex(),
    )


def shown_fingerprint(host: str, port: int, *, seconds: float = 5.0) -> str:
    """The SHA-256 of the certificate that somebody shows there, valid or not; empty where nobody shows one."""
    try:
        shown = ssl.get_server_certificate((host, port), timeout=seconds)
    except OSError:  # ssl.SSLError is one
        return ""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown)).hexdigest()


def check_leaf(path: Path, ca_file: Path, names: Iterable[str], now: datetime) -> None:
    """Raise ConfigError that says why a certificate with its key cannot serve these host names and addresses.

    The file may hold certificates between the leaf and the authority, in this order.
    """
    chain, key = _load_certificates(path), _load_key(path)
    leaf = chain[0]
    if leaf.public_key() != key.public_key():
        raise ConfigError(f"{path}: the private key is not that of the certificate")
    if now >= leaf.not_valid_after_utc:
        raise ConfigError(f"{path}: the certificate expired on {leaf.not_valid_after_utc:%Y-%m-%d}")
    if now < leaf.not_valid_before_utc:
        raise ConfigError(f"{path}: the certificate is not valid before {leaf.not_valid_before_utc:%Y-%m-%d}")
    if missing := sorted(set(names) - _names(leaf)):
        raise ConfigError(
            f"{path}: the certificate is not for {', '.join(missing)}",
            hint="its subject alternative names must hold each address that the part is reached at",
        )
    usage = _extension(leaf, x509.ExtendedKeyUsage)
    if usage and not set(_BOTH_WAYS) <= set(usage):
        raise ConfigError(f"{path}: the certificate is not for both servers and clients, as members need it")
    if not _leads_to(chain, _load_certificates(ca_file)):
        raise ConfigError(f"{path}: the certificate was not issued by an authority of {ca_file}")


def _leads_to(chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate]) -> bool:
    for issued, issuer in itertools.pairwise(chain):
        if not _issued_by(issued, issuer):
            return False
    return any(_issued_by(chain[-1], authority) for authority in authorities)


def _issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True


def _load_certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError:
        raise ConfigError(f"{path} holds no certificate in PEM form") from None


def _load_key(path: Path) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(_read(path), None)
    except TypeError:
        raise ConfigError(f"{path}: the private key has a passphrase, which a service cannot enter") from None
    except ValueError:
        raise ConfigError(
            f"{path} holds no private key in PEM form", hint="the file holds the key and the certificate"
        ) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None


def _names(leaf: x509.Certificate) -> set[str]:
    found = _extension(leaf, x509.SubjectAlternativeName)
    if found is None:
        return set()
    return {*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))}


def _extension(leaf: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return leaf.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
