"""The secrets of an installation: made once, kept in files that only their owner can read."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path

from prodcore.errors import ConfigError, Conflict
from prodcore.identity.users import new_setup_code, opens, seal
from prodcore.support import secure_files
from prodcore.support.secure_files import write_private

SETUP_CODE_FILE = "setup-code"
SEALED_CODE_FILE = "setup-code-sealed"
SECRETS_FILE = "secrets.json"
KEYFILE = "keyfile"
CA_FILE = "ca.pem"
CA_KEY_FILE = "ca-key.pem"
AUTHORITY_FILES = (CA_KEY_FILE, CA_FILE)
"""Only where the connections are encrypted; see ``prodcore.installation.certificates``."""
SETUP_FILES = (SETUP_CODE_FILE, SEALED_CODE_FILE)
"""Only while there is no admin."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """Passwords of the database users, and what the services sign and prove themselves with."""

    root: str = field(repr=False)
    web: str = field(repr=False)
    auth: str = field(repr=False)
    operator: str = field(repr=False)
    session: str = field(repr=False)
    service: str = field(repr=False)

    @property
    def backup(self) -> str:
        """The password of who makes backups: from root's, so that systems that are there already have it too."""
        return hmac.new(self.root.encode(), b"backup", hashlib.sha256).hexdigest()


def new_secrets() -> Secrets:
    """Secrets of 256 random bits each."""
    return Secrets(**{f.name: secrets.token_urlsafe(32) for f in fields(Secrets)})


def ensure_secrets(directory: Path, keyfile: Path) -> Secrets:
    """The cluster's secrets; made now where there are none yet. Raises ConfigError when the file is damaged."""
    path = directory / SECRETS_FILE
    names = [f.name for f in fields(Secrets)]
    if not path.exists():
        made = new_secrets()
        write_private(keyfile, base64.b64encode(secrets.token_bytes(48)).decode() + "\n")
        write_private(path, json.dumps(asdict(made), indent=2) + "\n")  # last: with it everything is there
        return made
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Secrets(**{name: kept[name] for name in names})
    except (ValueError, TypeError, KeyError):
        raise ConfigError(
            f"{path} is damaged", hint="restore it from a copy, or destroy what it belongs to and start again"
        ) from None


def ensure_setup_code(directory: Path, now: datetime) -> str:
    """The one-time code for the first admin; a new one where there is none, or it has ended.

    authsvc reads the sealed file whenever a code is tried, so a new code is good at once.
    """
    plain, sealed = directory / SETUP_CODE_FILE, directory / SEALED_CODE_FILE
    with suppress(FileNotFoundError):
        code = plain.read_text(encoding="utf-8").strip()
        if opens(sealed.read_text(encoding="utf-8"), code, now):
            return code
    code = new_setup_code()
    write_private(plain, code + "\n")
    write_private(sealed, seal(code, now))
    return code


def forget_setup_code(directory: Path) -> None:
    """Remove the code: the first admin exists."""
    for name in (SETUP_CODE_FILE, SEALED_CODE_FILE):
        (directory / name).unlink(missing_ok=True)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the installation's lock inside the block. Raises Conflict at once when another process has it."""
    path = directory / "lock"
    with ExitStack() as stack:
        try:
            descriptor = stack.enter_context(secure_files.locked(path, wait=False))
        except BlockingIOError:
            holder = path.read_text(errors="replace")[:20] or "unknown"
            raise Conflict(
                f"another prodctl (process {holder}) is changing this installation", hint="wait until it is done"
            ) from None
        except OSError as error:
            raise ConfigError(f"{path} cannot be used: {(error.strerror or str(error)).lower()}") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
