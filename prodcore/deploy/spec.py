"""What a container shall hold, as data. ``render`` makes it, the plan compares it with what is there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class File:
    """One file, whole."""

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o644
    owner: str = "root"
    is_secret: bool = False

    @property
    def sha256(self) -> str:
        """Of the content, in hex."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory; what else is in it stays."""

    path: str
    mode: int = 0o755
    owner: str = "root"


@dataclass(frozen=True, slots=True)
class Link:
    """One symbolic link."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Unit:
    """One systemd unit that shall run, and what it is to be restarted for: files that are newer than its process."""

    name: str
    files: tuple[str, ...] = ()
    is_enabled: bool = True
    """False where another unit starts it."""


@dataclass(frozen=True, slots=True)
class Binary:
    """A large file that is pushed once: its path holds its checksum."""

    path: str
    source: str
    """The file on the operator's machine."""


@dataclass(frozen=True, slots=True)
class HostWish:
    """A whole container's inside. Units are in the order in which they are started."""

    name: str
    packages: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    """System users."""
    release: str = ""
    binaries: tuple[Binary, ...] = ()
    directories: tuple[Directory, ...] = ()
    files: tuple[File, ...] = ()
    absent: tuple[str, ...] = ()
    """Files that shall not be there any more."""
    links: tuple[Link, ...] = ()
    units: tuple[Unit, ...] = ()
    ready: tuple[str, ...] = ()
    """``http://…/readyz`` of its service."""
