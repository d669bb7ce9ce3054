"""The signing keys: Ed25519 pairs in files of mode 0600, one directory, read by all workers.

A file ``1764000000-<kid>.pem`` signs from that second on, until a younger one does. A rotation writes the next file
with its start a little ahead: its public half is published at once, so that every verifier knows it before the first
token bears it. An old key stays published until the last token it signed has ended, the grace included.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from jwt.utils import base64url_encode

from prodcore.errors import ConfigError
from prodcore.identity.tokens import GRACE
from prodcore.support.secure_files import locked, read_private, write_private

PUBLISHED_AHEAD = timedelta(seconds=10)
_KEPT_AFTER = GRACE + timedelta(minutes=20)  # the longest access token, the grace, and a margin for clocks
_SECRET_FILE = "secret.key"  # noqa: S105  a file name


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One pair. It signs from ``active_from`` on."""

    kid: str
    active_from: datetime
    private: Ed25519PrivateKey

    def as_jwk(self) -> dict[str, str]:
        """The public half, as a JSON Web Key."""
        raw = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        x = base64url_encode(raw).decode()
        return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.kid, "x": x}


class KeyRing:
    """The keys of one directory. Makes the first one at first use; several processes may do so at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen = -1
        self._keys: tuple[SigningKey, ...] = ()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if directory.stat().st_mode & 0o077:
            raise ConfigError(f"{directory} is open to other users", hint=f"chmod 700 {directory}")
        with locked(directory / "lock"):
            if not self._read():
                self._write_key(datetime.now(UTC))
            if not (directory / _SECRET_FILE).exists():
                write_private(directory / _SECRET_FILE, secrets.token_bytes(32))
        self._secret = read_private(directory / _SECRET_FILE)

    def derive(self, purpose: str) -> bytes:
        """A secret of 32 bytes for one purpose, the same in every process."""
        return hmac.digest(self._secret, purpose.encode(), "sha256")

    def published(self) -> tuple[SigningKey, ...]:
        """Every key that verifiers must know, the youngest first."""
        changed = self._directory.stat().st_mtime_ns
        if changed != self._seen:
            self._keys = self._read()
            self._seen = changed
        return self._keys

    def signing(self, now: datetime) -> SigningKey:
        """The key that signs at this moment."""
        return next(key for key in self.published() if key.active_from <= now)

    def rotate(self, now: datetime) -> SigningKey:
        """Add a key that signs soon, and drop those that nobody can need any more."""
        with locked(self._directory / "lock"):
            for old, successor in zip(self._read()[1:], self._read(), strict=False):
                if successor.active_from + _KEPT_AFTER < now:
                    self._path(old).unlink()
            return self._write_key(now + PUBLISHED_AHEAD)

    def _write_key(self, active_from: datetime) -> SigningKey:
        private = Ed25519PrivateKey.generate()
        raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        key = SigningKey(hashlib.sha256(raw).hexdigest()[:16], active_from, private)
        write_private(self._path(key), private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return key

    def _path(self, key: SigningKey) -> Path:
        return self._directory / f"{int(key.active_from.timestamp())}-{key.kid}.pem"

    def _read(self) -> tuple[SigningKey, ...]:
        keys = [_load(path) for path in self._directory.glob("*.pem")]
        return tuple(sorted(keys, key=lambda key: key.active_from, reverse=True))


def _load(path: Path) -> SigningKey:
    second, _, kid = path.stem.partition("-")
    private = load_pem_private_key(read_private(path), password=None)
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError(f"{path} holds no Ed25519 key")
    return SigningKey(kid, datetime.fromtimestamp(int(second), UTC), private)
