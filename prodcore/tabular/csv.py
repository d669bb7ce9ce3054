"""From the bytes of a CSV file to its records, in bounded memory; a broken line never takes others along."""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from prodcore.errors import UnreadableInput
from prodcore.tabular.cells import Formula, Marked, NoValue
from prodcore.tabular.report import RefusedRow, refused, unescape_formula

MAX_LINE = 64 * 1024
MAX_RECORD_LINES = 500
DELIMITERS = (";", ",", "\t", "|")

_UNDECODED = re.compile("[\udc80-\udcff]")
"""What ``surrogateescape`` leaves where a byte is not UTF-8."""
_SEP_LINE = re.compile(r'[\s"]*sep *= *(?P<sign>\t|[^\s"])[\s";,|]*', re.IGNORECASE)
"""Excel's own way of naming the delimiter, in all its spellings: in quotes, in capitals, padded with delimiters."""
_TEXT_FORMULA = re.compile(r'="((?:[^"]|"")*)"')
"""A formula that is nothing but a text: programs write codes so, to keep their zeros."""
_FORMULA_ERROR = re.compile(
    r"#(N/[AD]|NV|REF!|¡REF!|VALUE!|¡VALOR!|DIV/0!|¡DIV/0!|NAME\?|¿NOMBRE\?|NUM!|¡NUM!|NULL!|¡NULO!|SPILL!|CALC!|¡CALC!|#+)"
    r"|Err:[0-9]{3}"
)
"""What spreadsheets show, in English and Spanish, where a formula has no value, or a column is too narrow for it."""
_END_OF_FILE = "\x1a"
"""What old programs write at the end of a file."""


@dataclass(frozen=True, slots=True)
class CsvRecord:
    """The cells of one record and the line it starts on."""

    line: int
    cells: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str
    problem: RefusedRow | None = None


@dataclass(slots=True)
class CsvText:
    """A CSV file that is read once, from front to end.

    ``choose`` scores a header: how many of its cells are known columns; the delimiter that scores best is taken where
    none is given. Without an ``encoding`` the first line that is not plain ASCII decides between UTF-8 and
    Windows-1252, and lines that contradict it are refused. Raises UnreadableInput for a file without a header.
    """

    source: io.BufferedReader[Any]
    choose: Callable[[Sequence[str]], int]
    delimiter: str = ""
    encoding: str = ""
    header: CsvRecord = field(init=False)
    _lines: Iterator[_Line] = field(init=False)
    _returned: deque[_Line] = field(init=False, default_factory=deque)
    _given_encoding: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._given_encoding = bool(self.encoding)
        self._lines = self._read_lines()
        self._returned.appendleft(self._header_line())
        self.delimiter = self.delimiter or max(DELIMITERS, key=self._score)
        header = next(self.records(), None)
        if not isinstance(header, CsvRecord):
            raise UnreadableInput(f"the header cannot be read: {header.problems[0].reason if header else 'no line'}")
        self.header = header

    def records(self) -> Iterator[CsvRecord | RefusedRow]:
        """The records after the header; blank ones are left out."""
        while (line := self._next_line()) is not None:
            record = line.problem or self._assemble([line], self.delimiter)
            if isinstance(record, RefusedRow) or any(cell.strip() for cell in record.cells):
                yield record

    def _header_line(self) -> _Line:
        while (line := self._next_line()) is not None:
            if line.problem:
                raise UnreadableInput(f"the header cannot be read: {line.problem.problems[0].reason}")
            if told := _SEP_LINE.fullmatch(line.text):
                self.delimiter = self.delimiter or told["sign"]
            elif line.text.strip():
                return line
        raise UnreadableInput("the file is empty: there is not even a header")

    def _score(self, delimiter: str) -> tuple[int, int]:
        """How well a delimiter cuts the header, which stays where it is."""
        first = self._returned.popleft()
        taken = [first]
        record = self._assemble(taken, delimiter)
        if isinstance(record, CsvRecord):
            self._returned.extendleft(reversed(taken[1:]))
        self._returned.appendleft(first)
        cells = record.cells if isinstance(record, CsvRecord) else next(csv.reader([first.text], delimiter=delimiter))
        return self.choose(cells), len(cells)

    def _assemble(self, taken: list[_Line], delimiter: str) -> CsvRecord | RefusedRow:
        """The record that starts on a line; a quoted cell may take it over several lines, which ``taken`` gets."""
        first = taken[0]
        size = len(first.text)
        while True:
            text = "".join(line.text for line in taken)
            try:
                cells = next(csv.reader([text], delimiter=delimiter, strict=True))
            except csv.Error:
                if text.count('"') % 2 == 0:
                    reason = "a quoted cell continues after its closing quote; inside a cell a quote is written twice"
                    problem = _refused(first, "bad_quotes", reason)
                    break
            else:
                return CsvRecord(first.number, [_cell(cell) for cell in cells])
            following = self._next_line()
            if following is not None:
                taken.append(following)
                size += len(following.text)
            if following is None or following.problem or size > MAX_LINE or len(taken) > MAX_RECORD_LINES:
                reason = "a quoted cell that starts here is never closed"
                problem = _refused(first, "unclosed_quote", reason)
                break
        self._returned.extendleft(reversed(taken[1:]))  # only the first line is lost
        return problem

    def _next_line(self) -> _Line | None:
        return self._returned.popleft() if self._returned else next(self._lines, None)

    def _read_lines(self) -> Iterator[_Line]:
        reader = io.TextIOWrapper(self.source, self._python_encoding(), self._on_error(), newline="")
        number = 0
        while text := reader.readline(MAX_LINE):
            number += 1
            if text.strip() == _END_OF_FILE:
                continue
            if _END_OF_FILE in text[-3:]:
                text = text.replace(_END_OF_FILE, "")
            if len(text) == MAX_LINE and not text.endswith(("\n", "\r")):
                while (rest := reader.readline(MAX_LINE)) and not rest.endswith(("\n", "\r")):
                    pass
                reason = f"the line is longer than {MAX_LINE} characters"
                yield _Line(number, "", refused(number, "line_too_long", reason, value=excerpt(text)))
                continue
            decoded = self._decode(text)
            if decoded is None:
                reason = f"the line is not {self.encoding}, as the lines before it are"
                yield _Line(number, "", refused(number, "bad_encoding", reason, value=excerpt(text)))
            else:
                yield _Line(number, decoded)
        reader.detach()  # the file stays the caller's

    def _python_encoding(self) -> str:
        if self._given_encoding:
            return self.encoding
        wide = wide_encoding(self.source.peek(64)[:64])
        if wide:
            self.encoding, self._given_encoding = wide, True
        return wide or "utf-8-sig"

    def _on_error(self) -> str:
        return "replace" if self._given_encoding else "surrogateescape"

    def _decode(self, text: str) -> str | None:
        """The line's text; None where it cannot be in the file's encoding."""
        if text.isascii():
            return text
        if self._given_encoding:
            return None if "\ufffd" in text else text
        is_utf8 = not _UNDECODED.search(text)
        self.encoding = self.encoding or ("UTF-8" if is_utf8 else "Windows-1252")
        if is_utf8 != (self.encoding == "UTF-8"):
            return None
        if is_utf8:
            return text
        try:
            return text.encode("utf-8", "surrogateescape").decode("cp1252")
        except UnicodeDecodeError:
            return None


def wide_encoding(start: bytes) -> str:
    """The encoding of a text of two or four bytes a character, with its mark at the beginning or without; else empty.

    >>> wide_encoding("sku;name".encode("utf-16")), wide_encoding("sku;name".encode("utf-16-be")), wide_encoding(b"sku")
    ('utf-16', 'utf-16-be', '')
    """
    if start.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    high, low = start[0::2], start[1::2]
    if len(start) >= 4 and 2 * low.count(0) > len(low) and 0 not in high:
        return "utf-16-le"
    return "utf-16-be" if len(start) >= 4 and 2 * high.count(0) > len(high) and 0 not in low else ""


def _cell(text: str) -> str:
    """A cell as it is meant, without the signs that keep a spreadsheet from changing it."""
    plain = unescape_formula(text)
    if plain != text:
        return plain
    if shown := _TEXT_FORMULA.fullmatch(text):
        return shown[1].replace('""', '"')
    if text.startswith("="):
        return Formula(text)
    if _FORMULA_ERROR.fullmatch(text.strip()):
        return NoValue(text, "formula_error", "is the error of a formula")
    return Marked(text) if text.startswith("'") else text


def _refused(line: _Line, code: str, reason: str) -> RefusedRow:
    return refused(line.number, code, reason, value=excerpt(line.text), cells=[line.text.rstrip("\r\n")])


def excerpt(text: str) -> str:
    """The start of a line as a report may show it."""
    start = text[:60].rstrip("\r\n").encode("utf-8", "replace").decode("utf-8")
    return start + "…" if len(text) > 60 else start
