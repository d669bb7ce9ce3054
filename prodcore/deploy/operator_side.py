"""What a deployment needs of the operator's machine: secrets, the wheelhouse, a given mongod."""

from __future__ import annotations

import hashlib
import json
import secrets as random
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from prodcore.deploy import paths as place
from prodcore.deploy.config import Deployment
from prodcore.deploy.render import Inputs
from prodcore.deploy.spec import Binary
from prodcore.errors import ConfigError
from prodcore.installation.secret import (
    KEYFILE,
    SEALED_CODE_FILE,
    SECRETS_FILE,
    SETUP_CODE_FILE,
    Secrets,
    ensure_secrets,
    ensure_setup_code,
    forget_setup_code,
    new_secrets,
)
from prodcore.support.secure_files import make_private_directory

_ID_DIGITS = 12


class OperatorSide:
    """The directory of one deployment under the state directory. Nothing is made there before ``begin``."""

    def __init__(self, deployment: Deployment, directory: Path) -> None:
        self.directory = directory
        self._deployment = deployment
        self._keyfile = directory / KEYFILE
        self._release = _release_id(deployment.release.wheelhouse)
        self._mongod = _binary(deployment.mongod.file) if deployment.mongod.file else None
        self._apt_key = _content(deployment.mongod.key) if deployment.mongod.key else b""
        self._throw_away = new_secrets()

    def begin(self) -> None:
        """Make the directory and the secrets, where there are none."""
        make_private_directory(self.directory)
        ensure_secrets(self.directory, self._keyfile)

    @property
    def has_secrets(self) -> bool:
        """Whether ``begin`` was called at some time."""
        return (self.directory / SECRETS_FILE).exists()

    @property
    def secrets(self) -> Secrets:
        """The deployment's; others, which nobody keeps, before there are any."""
        return ensure_secrets(self.directory, self._keyfile) if self.has_secrets else self._throw_away

    @property
    def keyfile(self) -> str:
        """What the members know each other by."""
        return self._keyfile.read_text(encoding="utf-8") if self._keyfile.exists() else random.token_urlsafe(48)

    @property
    def secrets_mark(self) -> str:
        """A fingerprint of the secrets, which says nothing about them."""
        return hashlib.sha256(json.dumps(asdict(self.secrets)).encode()).hexdigest()[:_ID_DIGITS]

    def settle_setup_code(self, is_open: bool | None, *, is_new: bool) -> None:
        """Keep a code that is good while there is no admin, and none afterwards; None: nobody could say."""
        if is_open or is_new:
            ensure_setup_code(self.directory, datetime.now(UTC))
        elif is_open is False:
            forget_setup_code(self.directory)

    @property
    def setup_code(self) -> str | None:
        """The first admin's code, while there is none."""
        path = self.directory / SETUP_CODE_FILE
        return path.read_text(encoding="utf-8").strip() if path.exists() else None

    def inputs(self) -> Inputs:
        """For ``render_hosts``."""
        sealed = self.directory / SEALED_CODE_FILE
        return Inputs(
            secrets=self.secrets,
            keyfile=self.keyfile,
            release=self._release,
            mongod=self._mongod,
            apt_key=self._apt_key,
            sealed_code=sealed.read_text(encoding="utf-8") if sealed.exists() else "",
        )


def _release_id(wheelhouse: Path) -> str:
    """The release that a wheelhouse holds: another one as soon as any wheel in it is another."""
    requirements = wheelhouse / "requirements.txt"
    if not requirements.is_file():
        raise ConfigError(f"there is no wheelhouse at {wheelhouse}", hint=f"scripts/wheelhouse {wheelhouse}")
    return hashlib.sha256(requirements.read_bytes()).hexdigest()[:_ID_DIGITS]


def _binary(path: Path) -> Binary:
    """A given mongod; its place in the containers holds its checksum, so another file has another place."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"mongod.file {path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    return Binary(f"{place.PUSHED_MONGOD}/{digest[:_ID_DIGITS]}/mongod", str(path))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"mongod.key {path} cannot be read: {(error.strerror or str(error)).lower()}") from None
