"""Which names an import has met before: on disk, so that a long file costs no memory."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from typing import Self


class Seen:
    """Remembers a key with the line it stood on and what that line said; a temporary file, gone with the process."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;"
            "CREATE TABLE seen (key BLOB PRIMARY KEY, line INTEGER, says BLOB) WITHOUT ROWID;"
            "CREATE TABLE same (line INTEGER PRIMARY KEY, first INTEGER);"
            "CREATE TABLE failed (line INTEGER PRIMARY KEY, fate TEXT);"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._db.close()

    def first(self, key: tuple[str, ...], says: str, line: int) -> tuple[int, bool]:
        """The line that had ``key`` first (this one, if it is new) and whether that line says the same."""
        said = _digest(says)
        row = (_digest("\0".join(key)), line, said)
        if self._db.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", row).rowcount:
            return line, True
        first, before = self._db.execute("SELECT line, says FROM seen WHERE key = ?", row[:1]).fetchone()
        return first, before == said

    def repeats(self, line: int, first: int) -> None:
        """Note that a line only says again what ``first`` says: it shares its fate."""
        self._db.execute("INSERT INTO same VALUES (?, ?)", (line, first))

    def failed(self, line: int, fate: str) -> None:
        """Note that a line was not stored."""
        self._db.execute("INSERT OR REPLACE INTO failed VALUES (?, ?)", (line, fate))

    def fates(self) -> Iterator[tuple[int, int, str | None]]:
        """Each repeated line with its first line and that one's fate, None where it is stored."""
        yield from self._db.execute("SELECT same.line, first, fate FROM same LEFT JOIN failed ON failed.line = first")


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
