"""A backup on disk: a directory with a file for each collection of each set, and a manifest of them all.

It is written under a name that begins with a dot, each file with mode 0600, brought to the disk, and renamed at the
end: under its own name a backup is whole. ``manifest.sha256`` says what the manifest is, and the manifest what every
other file is, so nothing can change unnoticed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prodcore.backup.sealing import SALT_BYTES, Key, SealedWriter
from prodcore.errors import Conflict, InvalidInput, Problem, Unavailable, UnreadableInput
from prodcore.support.secure_files import write_private

MANIFEST = "manifest.json"
CHECKSUM = "manifest.sha256"
MOVING = "_moving"
"""In place of a set: the products that were moving between shards when the backup was made."""

_NAME = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_LEFT = re.compile(rf"\.{_NAME.pattern}\.(unfinished|removed)")
_MANIFEST_BYTES = 64_000_000

FilePath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_%-][A-Za-z0-9_.%~-]*(/[A-Za-z0-9_%-][A-Za-z0-9_.%~-]*){2}$")]
"""``set/database/collection.bson``; no way out of the directory can be written so."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class BackedUpFile(_Part):
    """One file; ``documents`` is how many a file of BSON holds."""

    path: FilePath
    size: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    documents: int | None = Field(None, ge=0)

    @property
    def place(self) -> tuple[str, str, str]:
        """Set, database and collection of a file of BSON."""
        set_name, database, name = self.path.split("/")
        return set_name, database, name.removesuffix(".bson")


class BackedUpSet(_Part):
    """One replica set; ``at`` is the cluster time that all its files show."""

    is_shard: bool
    at: int


class Encryption(_Part):
    """How the files are encrypted, and what tells whether a key is the right one."""

    method: Literal["AES-256-GCM, chunks of 64 KiB"] = "AES-256-GCM, chunks of 64 KiB"
    salt: str = Field(pattern="^[0-9a-f]{64}$")
    key_mark: str
    signature: str = ""
    """Of the manifest's text without this."""


class Manifest(_Part):
    """``manifest.json``."""

    format: Literal[1] = 1
    name: str
    prodctl: str
    schema_version: int
    """Of stored products."""
    began: datetime
    ended: datetime
    map_version: int
    ranges: tuple[dict[str, Any], ...]
    sets: dict[str, BackedUpSet]
    files: tuple[BackedUpFile, ...]
    old_places: int = Field(0, ge=0)
    """The documents of products that are in another shard now, or not yet in this one."""
    unresolved: tuple[str, ...] = ()
    """The ids of products that an old location points to and no shard has."""
    encryption: Encryption | None = None

    @property
    def collections(self) -> list[BackedUpFile]:
        """The files of BSON."""
        return [file for file in self.files if file.documents is not None]

    @property
    def products(self) -> int:
        """How many there are, deleted ones included; those that moved just then may count twice or not."""
        return self._documents("products_db", "products") - self.old_places

    @property
    def users(self) -> int:
        """How many there are."""
        return self._documents("auth_db", "users")

    def _documents(self, database: str, collection: str) -> int:
        of_sets = (file for file in self.collections if file.place[0] != MOVING)
        return sum(file.documents or 0 for file in of_sets if file.place[1:] == (database, collection))

    def text(self, key: Key | None) -> bytes:
        """As it is stored, signed with the key of an encrypted backup."""
        text = (self.model_dump_json(indent=1) + "\n").encode()
        return text.replace(_UNSIGNED, _signed(key.sign(text)), 1) if key else text

    def is_signed(self, text: bytes, key: Key) -> bool:
        """Whether ``text``, which it was read from, is what was signed with this key."""
        signature = self.encryption.signature if self.encryption else ""
        return key.sign(text.replace(_signed(signature), _UNSIGNED, 1)) == signature


def _signed(signature: str) -> bytes:
    return f'"signature": "{signature}"'.encode()


_UNSIGNED = _signed("")


class OpenFile:
    """One file of a backup that is being written; what goes to disk is counted and hashed."""

    def __init__(self, file: BinaryIO, path: str, key: Key | None) -> None:
        self._file, self._path = file, path
        self._digest = hashlib.sha256()
        self._size = 0
        self._sealing: SealedWriter | None = key.sealing(self, path) if key else None  # type: ignore[arg-type]
        self._sealed = self._sealing is not None
        self.documents: int | None = None

    def add(self, data: bytes) -> None:
        """Add to the content."""
        if self._sealing:
            self._sealing.write(data)
        else:
            self.write(data)

    def write(self, data: bytes) -> int:
        """Bytes as they go to the disk."""
        self._digest.update(data)
        self._size += len(data)
        return self._file.write(data)

    def finish(self) -> BackedUpFile:
        """Everything is written, and on the disk."""
        if self._sealing:
            self._sealing.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        return BackedUpFile(path=self._path, size=self._size, sha256=self._digest.hexdigest(), documents=self.documents)


class BackupWriter:
    """A backup that is being made in ``directory``, under a name that says that it is not whole."""

    def __init__(self, directory: Path, name: str, secret: bytes | None) -> None:
        self.name = name
        self.path = directory / name
        self._beside = directory / f".{name}.unfinished"
        self._files: dict[str, BackedUpFile] = {}
        salt = secrets.token_bytes(SALT_BYTES)
        self._key = Key(secret, salt) if secret else None
        self._encryption = Encryption(salt=salt.hex(), key_mark=self._key.mark()) if self._key else None

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Make the directory; whatever ends the block before ``finish`` leaves nothing.

        Raises Conflict, InvalidInput where there can be no directory, and Unavailable where the disk takes no more.
        """
        self._make_parent()
        if self.path.exists():
            raise Conflict(f"{self.path} already exists: another backup was started in this second", hint="repeat it")
        try:
            self._beside.mkdir(mode=0o700)
        except FileExistsError:
            raise Conflict(
                f"{self._beside} exists: another backup was started in this second", hint="repeat it"
            ) from None
        in_use = os.open(self._beside, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(in_use, fcntl.LOCK_EX)
        try:
            yield
        except OSError as error:
            raise Unavailable(
                f"{self.path.parent} cannot be written: {(error.strerror or str(error)).lower()}",
                hint="the incomplete backup was removed",
            ) from None
        finally:
            os.close(in_use)
            shutil.rmtree(self._beside, ignore_errors=True)

    def _make_parent(self) -> None:
        """One that is there keeps its mode: it may be anybody's, and what a backup holds is 0700 itself."""
        parent = self.path.parent
        try:
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            text = f"{parent} cannot be used: {(error.strerror or str(error)).lower()}"
            raise InvalidInput(problems=[Problem("DIRECTORY", "unusable", text)]) from None

    @contextmanager
    def file(self, set_name: str, database: str, file_name: str) -> Iterator[OpenFile]:
        """A new file, or one begun anew; it counts when the block ends without an error. For any thread."""
        path = f"{quote(set_name, safe='')}/{quote(database, safe='')}/{quote(file_name, safe='')}"
        target = self._beside / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.parent.parent.chmod(0o700)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb", buffering=1024 * 1024) as file:
            opened = OpenFile(file, path, self._key)
            yield opened
            self._files[path] = opened.finish()

    def finish(self, **facts: Any) -> Manifest:
        """Write the manifest, and give the backup its name."""
        files = tuple(self._files[path] for path in sorted(self._files))
        manifest = Manifest(name=self.name, files=files, encryption=self._encryption, **facts)
        text = manifest.text(self._key)
        write_private(self._beside / MANIFEST, text)
        write_private(self._beside / CHECKSUM, f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n")
        for folder, _folders, _names in os.walk(self._beside):
            _sync(Path(folder))
        self._beside.rename(self.path)
        _sync(self.path.parent)
        return manifest


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Backup:
    """A whole backup in ``path``. Raises UnreadableInput for what is none, InvalidInput for a damaged manifest."""

    def __init__(self, path: Path, secret: bytes | None = None) -> None:
        self.path = path
        self.manifest, text = _read_manifest(path)
        encryption = self.manifest.encryption
        if secret and not encryption:  # else anybody could put one of their own in an encrypted one's place
            raise InvalidInput(problems=[Problem("--key-file", "wrong_key", f"{path} is not encrypted")])
        self.key = Key(secret, bytes.fromhex(encryption.salt)) if secret and encryption else None
        if self.key and encryption and self.key.mark() != encryption.key_mark:
            raise InvalidInput(problems=[Problem("--key-file", "wrong_key", f"{path} was encrypted with another key")])
        if self.key and not self.manifest.is_signed(text, self.key):
            raise _damaged(MANIFEST, "was not signed with this key")

    @property
    def is_locked(self) -> bool:
        """Whether it is encrypted, and no key was given."""
        return self.manifest.encryption is not None and self.key is None

    def require_key(self) -> None:
        """Raise InvalidInput where what is in the files cannot be read."""
        if self.is_locked:
            raise InvalidInput(problems=[Problem("--key-file", "missing", f"is needed: {self.path} is encrypted")])

    @contextmanager
    def reading(self, listed: BackedUpFile) -> Iterator[BinaryIO]:
        """The content of a file. Reading raises DamagedChunk; raises InvalidInput where the file is missing."""
        try:
            file = _open_plain(self.path / listed.path)
        except OSError as error:
            raise _damaged(listed.path, (error.strerror or str(error)).lower()) from None
        with file, self.key.opening(file, listed.path) if self.key else file as content:
            yield content

    def damage(self) -> Iterator[Problem]:
        """Every file that is not as it was written, is missing, or does not belong to the backup; one at a time."""
        for listed in self.manifest.files:
            if problem := self._damage_of(listed):
                yield problem
        known = {file.path for file in self.manifest.files} | {MANIFEST, CHECKSUM}
        for found in sorted(self.path.rglob("*")):
            name = str(found.relative_to(self.path))
            if not found.is_dir() and name not in known:
                yield Problem(name, "unknown", "is not in the manifest")

    def _damage_of(self, listed: BackedUpFile) -> Problem | None:
        try:
            with _open_plain(self.path / listed.path) as file:
                size = os.fstat(file.fileno()).st_size
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            return Problem(listed.path, "missing", (error.strerror or str(error)).lower())
        if size != listed.size:
            return Problem(listed.path, "damaged", f"has {size:,} bytes, and had {listed.size:,} when it was made")
        if digest != listed.sha256:
            return Problem(listed.path, "damaged", "its checksum has changed since it was made")
        return None


def _read_manifest(path: Path) -> tuple[Manifest, bytes]:
    try:
        with _open_plain(path / MANIFEST) as file, _open_plain(path / CHECKSUM) as checksum:
            text, expected = file.read(_MANIFEST_BYTES), checksum.read(1000)
    except OSError as error:
        raise UnreadableInput(
            f"{path} is not a backup: {(error.strerror or str(error)).lower()}",
            hint="name one backup, such as backups/20260131T080000Z; prodctl backup list shows them",
        ) from None
    if expected != f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n".encode():
        raise _damaged(MANIFEST, f"is not what {CHECKSUM} says")
    try:
        return Manifest.model_validate_json(text), text
    except ValidationError as error:
        fields = [".".join(map(str, e["loc"])) or "it" for e in error.errors(include_input=False)]
        found = [Problem(MANIFEST, "damaged", f"{field} is not in the form of this version") for field in fields]
        raise InvalidInput(problems=found, hint="another version of prodctl may have made it") from None


def _damaged(name: str, what: str) -> InvalidInput:
    return InvalidInput(problems=[Problem(name, "damaged", what)], hint="take another backup, or another copy of it")


def _open_plain(path: Path) -> BufferedReader:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("it is not a regular file")
    return BufferedReader(FileIO(descriptor), 1024 * 1024)


def backup_name(moment: datetime) -> str:
    """What the backup that begins then is called: its time, in UTC.

    >>> backup_name(datetime(2026, 1, 31, 8, 0, 0))
    '20260131T080000Z'
    """
    return f"{moment:%Y%m%dT%H%M%SZ}"


def backups_in(directory: Path) -> list[Path]:
    """What has a backup's name in a directory, the newest first. Raises UnreadableInput."""
    try:
        found = [entry for entry in directory.iterdir() if _NAME.fullmatch(entry.name) and entry.is_dir()]
    except OSError as error:
        raise UnreadableInput(f"{directory} cannot be read: {(error.strerror or str(error)).lower()}") from None
    return sorted(found, key=lambda entry: entry.name, reverse=True)


def superfluous(backups: Sequence[Path], keep: int) -> list[Path]:
    """Those that are not among the ``keep`` newest whole ones; never the last whole one, nor a newer damaged one.

    Only whole ones count, by manifest and sizes: a damaged backup must not push out a good one.
    """
    whole = [backup for backup in backups if is_whole(backup)]
    if not whole:
        return []
    oldest_kept = whole[: max(keep, 1)][-1]
    return [backup for backup in backups if backup.name < oldest_kept.name]


def is_whole(path: Path) -> bool:
    """Whether the manifest is as it was written and every file has its size."""
    try:
        manifest = Backup(path).manifest
        return all((path / file.path).stat().st_size == file.size for file in manifest.files)
    except (InvalidInput, OSError):
        return False


def remove_unfinished(directory: Path) -> None:
    """Remove what was left of backups whose making, or removal, was cut short; not of one that is being made."""
    for left in (entry for entry in directory.glob(".*Z.*") if _LEFT.fullmatch(entry.name)):
        in_use = os.open(left, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(in_use)


def remove(backup: Path) -> None:
    """Remove a backup: first its name, so that a half removed one is never taken for one."""
    doomed = backup.with_name(f".{backup.name}.removed")
    with suppress(FileNotFoundError):
        backup.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)
