"""Files of an encrypted backup: AES-256-GCM, a chunk at a time, with a key of its own for each file.

A file is ``MAGIC`` and chunks of 64 KiB, each with its tag. The nonce counts the chunks and says which one is the last,
so a chunk that is changed, moved, repeated or cut off is noticed. The key follows from the key file, the backup's salt
and the file's path, so no file passes for another one, nor for that of another backup.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import os
from pathlib import Path
from typing import BinaryIO

from prodcore.errors import ConfigError
from prodcore.support.secure_files import read_private

MAGIC = b"prodctl sealed 1\n"
SALT_BYTES = 32
_CHUNK = 64 * 1024
_TAG = 16
_LEAST_KEY_BYTES = 32


class DamagedChunk(Exception):
    """The bytes of a sealed file are not those that were written."""


class Key:
    """The secret of a key file; the keys of one backup follow from it and the backup's ``salt``."""

    def __init__(self, secret: bytes, salt: bytes) -> None:
        self._secret = secret
        self._salt = salt

    def mark(self) -> str:
        """What tells this key from others, and nothing of it."""
        return self._derive("key").hex()[:16]

    def sign(self, text: bytes) -> str:
        """The signature of a text: without the key nobody can make it."""
        return hmac.new(self._derive("manifest"), text, hashlib.sha256).hexdigest()

    def sealing(self, file: BinaryIO, path: str) -> SealedWriter:
        """Write the file of this path in the backup, encrypted, to ``file``."""
        return SealedWriter(file, self._derive(f"file {path}"))

    def opening(self, file: BinaryIO, path: str) -> io.BufferedReader:
        """Read the file of this path in the backup. Reading raises DamagedChunk."""
        return io.BufferedReader(_SealedReader(file, self._derive(f"file {path}")), _CHUNK)

    def _derive(self, what: str) -> bytes:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(SHA256(), 32, self._salt, f"prodctl backup: {what}".encode()).derive(self._secret)


def read_key_file(path: Path) -> bytes:
    """The secret in a key file. Raises ConfigError for one that is missing, short, or open to others."""
    try:
        # what systemd hands over is the unit's alone, though an access list makes it look open to a group
        is_credential = path.parent == Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nowhere"))
        secret = (path.read_bytes() if is_credential else read_private(path)).strip()
    except OSError as error:
        raise ConfigError(
            f"the key file {path} cannot be read: {(error.strerror or str(error)).lower()}",
            hint=f"(umask 077; openssl rand -base64 32 > {path}) makes one; keep a copy elsewhere",
        ) from None
    if len(secret) < _LEAST_KEY_BYTES:
        raise ConfigError(
            f"the key file {path} holds fewer than {_LEAST_KEY_BYTES} characters",
            hint=f"(umask 077; openssl rand -base64 32 > {path}) makes a good one",
        )
    try:
        import cryptography  # noqa: F401  is it there at all?
    except ImportError:
        raise ConfigError(
            "backups are encrypted with the package cryptography, which is not installed",
            hint="pip install 'prodctl[server]'",
        ) from None
    return secret


class SealedWriter:
    """What is written is encrypted and goes to ``file``; ``finish`` writes the last chunk and leaves the file open."""

    def __init__(self, file: BinaryIO, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._file = file
        self._cipher = AESGCM(key)
        self._number = 0
        self._rest = bytearray()
        file.write(MAGIC)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take some bytes."""
        self._rest += data
        whole = (len(self._rest) - 1) // _CHUNK * _CHUNK  # what may be the last chunk is kept
        for start in range(0, max(whole, 0), _CHUNK):
            self._seal(bytes(self._rest[start : start + _CHUNK]), last=False)
        if whole > 0:
            del self._rest[:whole]

    def finish(self) -> None:
        """There is no more."""
        self._seal(bytes(self._rest), last=True)

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, last=last), chunk, None))
        self._number += 1


class _SealedReader(io.RawIOBase):
    def __init__(self, file: BinaryIO, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._file = file
        self._cipher = AESGCM(key)
        self._number = 0
        self._clear = b""
        if file.read(len(MAGIC)) != MAGIC:
            raise DamagedChunk("it is not an encrypted file of a backup")
        self._next = file.read(_CHUNK + _TAG)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        from cryptography.exceptions import InvalidTag

        view = memoryview(buffer)  # type: ignore[arg-type]  # whatever io hands over
        if not self._clear and self._next:
            chunk, self._next = self._next, self._file.read(_CHUNK + _TAG)
            try:
                self._clear = self._cipher.decrypt(_nonce(self._number, last=not self._next), chunk, None)
            except (InvalidTag, ValueError):
                raise DamagedChunk(f"chunk {self._number:,} was altered") from None
            self._number += 1
        count = min(len(view), len(self._clear))
        view[:count] = self._clear[:count]
        self._clear = self._clear[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
