"""Standard streams as they may be: closed, full, or in an encoding that lacks most characters.

What cannot be shown is replaced by something readable, a message that nobody can get is dropped, and data that cannot
be written end the command with a status of their own: what the command did before that stands.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
import unicodedata
from typing import TextIO

_SUBSTITUTES = {
    **dict(zip("–—‘’“”·•│├└─✓✗●○×", "--''\"\".*||`-+x*ox", strict=True)),
    **{"…": "...", "→": "->", "←": "<-", "≤": "<=", "≥": ">=", "€": "EUR"},
}

_UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e007f\ud800-\udfff]"
)
"""Control characters and all that reorders or hides text; not the joiners, which Persian, Hindi and emoji need."""


class OutputLost(Exception):
    """stdout cannot be written. The message says why."""


def prepare() -> None:
    """Open what is closed, so that nothing else gets its number, and make stdout and stderr write what they can."""
    codecs.register_error("readable", _readable)
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # for reading: a write to it then fails as to a closed one
            os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115  for as long as the process lives
    sys.stdout = _text(_Stdout(1, "wb", closefd=False), sys.stdout)
    sys.stderr = _text(_Stderr(2, "wb", closefd=False), sys.stderr)


def write(text: str) -> None:
    """Write data to stdout. Raises OutputLost, and BrokenPipeError where the reader has gone."""
    sys.stdout.write(text)
    sys.stdout.flush()


def write_utf8(text: str) -> None:
    """Write data that is UTF-8 wherever it goes, but for a person's terminal. Raises what ``write`` raises."""
    if is_unicode() or on_terminal():
        write(text)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "readable"))
        sys.stdout.flush()


def tell(text: str) -> None:
    """Write a line to stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def is_unicode() -> bool:
    """Whether stdout can show every character."""
    return (sys.stdout.encoding or "").lower().replace("_", "-") in ("utf-8", "utf8")


def on_terminal() -> bool:
    """Whether a person looks at stdout."""
    return sys.stdout.isatty()


def displayed(text: str) -> str:
    """The text as stdout will show it, so that its width can be measured."""
    if text.isascii() or is_unicode():
        return text
    encoding = sys.stdout.encoding or "ascii"
    return "".join(_shown(c, encoding) for c in text)


def visible(text: str, *, keep_lines: bool = False) -> str:
    r"""Show characters that steer terminals, reorder or hide text as escapes.

    >>> visible("a\x1b[31mb\u202e"), visible("a\nb"), visible("a\nb", keep_lines=True)
    ('a\\x1b[31mb\\u202e', 'a\\nb', 'a\nb')
    """
    if text.isascii() and text.isprintable():
        return text
    text = _UNSAFE.sub(lambda found: _escape(found[0]), text)
    return text if keep_lines else text.replace("\n", "\\n")


def escape_in_json(text: str) -> str:
    r"""JSON of the same meaning without a character that steers terminals, reorders or hides text.

    >>> escape_in_json('"a\u202eb\x9b"')
    '"a\\u202eb\\u009b"'
    """
    return _UNSAFE.sub(lambda found: _json_escape(found[0]), text)


def is_safe(text: str) -> bool:
    """Whether there is no such character in it."""
    return text.isascii() or not _UNSAFE.search(text)


class _Stdout(io.FileIO):
    """Says what it could not write in a way that is not mistaken for another file's trouble."""

    def write(self, data: bytes) -> int:  # type: ignore[override]  # any buffer
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputLost(error.strerror or type(error).__name__) from None


class _Stderr(io.FileIO):
    """Never fails: a message that nobody can get changes nothing about what is done."""

    def write(self, data: bytes) -> int:  # type: ignore[override]  # any buffer
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _text(raw: io.FileIO, old: TextIO | None) -> io.TextIOWrapper:
    encoding = old.encoding if old and old.encoding else "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "readable", line_buffering=raw.isatty())


def _readable(error: UnicodeError) -> tuple[str, int]:
    """The error handler of both streams."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_substitute, error.object[error.start : error.end])), error.end


def _shown(character: str, encoding: str) -> str:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return _substitute(character)
    return character


def _substitute(character: str) -> str:
    """Readable ASCII for a character: é is e; what is like nothing in ASCII is an escape."""
    if character in _SUBSTITUTES:
        return _SUBSTITUTES[character]
    plain = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
    return plain if plain.isascii() and plain.isprintable() and plain else _escape(character)


def _escape(character: str) -> str:
    r"""``\x1b``, ``\u202e``; a byte that was no UTF-8 (a lone surrogate to Python) as that byte."""
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _json_escape(character: str) -> str:
    pair = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{pair[i]:02x}{pair[i + 1]:02x}" for i in range(0, len(pair), 2))
