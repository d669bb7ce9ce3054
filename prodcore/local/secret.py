"""The secrets of a local cluster: made once, kept in files that only their owner can read."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from prodcore.errors import ConfigError
from prodcore.local.files import write_private

_CODE_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # none that look alike
_CODE_GROUPS = 4
_CODE_GROUP_LENGTH = 5
SETUP_CODE_FILE = "setup-code"
_SECRETS_FILE = "secrets.json"


@dataclass(frozen=True, slots=True)
class LocalSecrets:
    """Passwords of the database users, and what the services sign and prove themselves with."""

    root: str = field(repr=False)
    web: str = field(repr=False)
    auth: str = field(repr=False)
    operator: str = field(repr=False)
    session: str = field(repr=False)
    service: str = field(repr=False)
    setup_code_hash: str = field(repr=False)
    """SHA-256 of the setup code, in hex; the code itself is in a file of its own until it is used."""


def ensure_secrets(directory: Path, keyfile: Path) -> LocalSecrets:
    """The cluster's secrets; made now where there are none yet. Raises ConfigError when the file is damaged."""
    path = directory / _SECRETS_FILE
    if not path.exists():
        code = _new_setup_code()
        passwords = {f.name: secrets.token_urlsafe(32) for f in fields(LocalSecrets) if f.name != "setup_code_hash"}
        made = LocalSecrets(**passwords, setup_code_hash=hash_setup_code(code))
        write_private(directory / SETUP_CODE_FILE, code + "\n")
        write_private(keyfile, base64.b64encode(secrets.token_bytes(48)).decode() + "\n")
        write_private(path, json.dumps(asdict(made), indent=2) + "\n")  # last: with it everything is there
        return made
    try:
        return LocalSecrets(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise ConfigError(
            f"{path} is damaged", hint="restore it from a copy, or prodctl local destroy and start anew"
        ) from None


def read_setup_code(directory: Path) -> str | None:
    """The one-time code for the first admin, None once it was used."""
    try:
        return (directory / SETUP_CODE_FILE).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None


def forget_setup_code(directory: Path) -> None:
    """Remove the code: the first admin exists."""
    (directory / SETUP_CODE_FILE).unlink(missing_ok=True)


def hash_setup_code(code: str) -> str:
    """What authsvc keeps of a code: SHA-256 in hex. The code has 98 random bits, so a plain hash is enough."""
    return hashlib.sha256(code.encode()).hexdigest()


def _new_setup_code() -> str:
    """Four groups of five letters and digits.

    >>> len(_new_setup_code())
    23
    """
    groups = ("".join(secrets.choice(_CODE_LETTERS) for _ in range(_CODE_GROUP_LENGTH)) for _ in range(_CODE_GROUPS))
    return "-".join(groups)
