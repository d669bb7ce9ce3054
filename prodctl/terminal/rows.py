"""Lists on stdout, piece by piece: the first rows are seen before the last ones are there."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import click

SCHEMA_VERSION = 1

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)", re.ASCII)
"""A time in UTC, as the API writes them."""

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading, the row's key, whether only ``wide`` shows it, whether it is a number."""

    title: str
    key: str
    wide: bool = False
    right: bool = False


class RowWriter(Protocol):
    """Prints rows as they come; ``finish`` ends the list and adds facts about it (JSON and YAML only)."""

    def add(self, rows: Rows) -> None:
        """Print some rows."""

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Print what ends the list."""


def row_writer(shown: Sequence[Column], output: str, kind: str, empty: str) -> RowWriter:
    """The writer for a format; ``empty`` is what people are told where there is no row."""
    if output == "json":
        return _JsonWriter(kind)
    if output == "yaml":
        return _YamlWriter(kind)
    if output == "csv":
        return _CsvWriter(shown)
    return _TableWriter([c for c in shown if output == "wide" or not c.wide], output == "table", empty)


def print_document(document: Mapping[str, Any], output: str) -> None:
    """One JSON or YAML document."""
    _write(_json(document) + "\n" if output == "json" else _yaml(document))


class _JsonWriter:
    def __init__(self, kind: str) -> None:
        self._head = f'{{\n  "schema_version": {SCHEMA_VERSION},\n  "kind": {_json(kind)},\n  "items": ['
        self._any = False

    def add(self, rows: Rows) -> None:
        for row in rows:
            _write((",\n    " if self._any else f"{self._head}\n    ") + _json(row).replace("\n", "\n    "))
            self._any = True

    def finish(self, facts: Mapping[str, Any]) -> None:
        _write("\n  ]" if self._any else f"{self._head}]")
        inner = _json(dict(facts))[1:-2]  # without the braces: they are the list's own
        _write(f",{inner}\n}}\n" if facts else "\n}\n")


class _YamlWriter:
    def __init__(self, kind: str) -> None:
        self._head = _yaml({"schema_version": SCHEMA_VERSION, "kind": kind})
        self._any = False

    def add(self, rows: Rows) -> None:
        if rows:
            _write(("" if self._any else f"{self._head}items:\n") + _yaml([dict(row) for row in rows]))
            self._any = True

    def finish(self, facts: Mapping[str, Any]) -> None:
        _write(("" if self._any else f"{self._head}items: []\n") + (_yaml(facts) if facts else ""))


class _CsvWriter:
    def __init__(self, shown: Sequence[Column]) -> None:
        self._shown = shown
        self._head_is_written = False

    def add(self, rows: Rows) -> None:
        import csv
        import io

        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        if not self._head_is_written:
            writer.writerow([column.key for column in self._shown])
            self._head_is_written = True
        writer.writerows([[cell(row.get(column.key)) for column in self._shown] for row in rows])
        text = buffer.getvalue()
        _write(visible(text, keep_lines=True) if sys.stdout.isatty() else text)

    def finish(self, facts: Mapping[str, Any]) -> None:
        if not self._head_is_written:
            self.add([])


class _TableWriter:
    """Columns get their widths from the first rows; later rows are cut to them on a terminal."""

    def __init__(self, shown: Sequence[Column], fit: bool, empty: str) -> None:
        self._shown = shown
        self._empty = empty
        self._fit = fit and sys.stdout.isatty()
        self._widths: list[int] = []

    def add(self, rows: Rows) -> None:
        if not rows:
            return
        import tabulate

        tabulate.MIN_PADDING = 0  # the headings are padded here, to the widths that fit

        cells = [[visible(readable(row.get(column.key))) for column in self._shown] for row in rows]
        later = bool(self._widths)
        if not later:
            self._widths = self._choose_widths(cells)
        if self._fit:
            cells = [[_cut(text, width) for text, width in zip(row, self._widths, strict=True)] for row in cells]
        text = tabulate.tabulate(
            cells,
            headers=[
                f"{c.title.upper():{'>' if c.right else '<'}{width}}"
                for c, width in zip(self._shown, self._widths, strict=True)
            ],
            tablefmt="plain",
            disable_numparse=True,
            colalign=["right" if column.right else "left" for column in self._shown],
        )
        _write("".join(line.rstrip() + "\n" for line in text.splitlines()[later:]))

    def finish(self, facts: Mapping[str, Any]) -> None:
        if not self._widths:
            click.echo(self._empty, err=True)

    def _choose_widths(self, cells: Sequence[Sequence[str]]) -> list[int]:
        import shutil

        titles = [column.title for column in self._shown]
        widths = [max(len(title), *(_width(row[i]) for row in cells)) for i, title in enumerate(titles)]
        room = shutil.get_terminal_size().columns - 2 * (len(widths) - 1)
        while self._fit and sum(widths) > room and max(widths) > 8:
            widths[widths.index(max(widths))] -= 1
        return widths


def visible(text: str, *, keep_lines: bool = False) -> str:
    r"""Show characters that steer terminals or reorder text as escapes.

    >>> visible("a\x1b[31mb\u202e")
    'a\\x1b[31mb\\u202e'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c
        if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") or (keep_lines and c == "\n")
        else c.encode("unicode_escape").decode()
        for c in text
    )


def cell(value: Any) -> str:
    """A value as one cell of a table or CSV line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(cell(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}={cell(item)}" for key, item in value.items())
    return str(value)


def readable(value: Any) -> str:
    """A value as people read it: times to the second.

    >>> readable("2026-01-02T03:04:05.678000+00:00"), readable("2026-01-02T03:04:05.678Z"), readable(["T", 1])
    ('2026-01-02 03:04:05Z', '2026-01-02 03:04:05Z', 'T, 1')
    """
    text = cell(value)
    moment = _MOMENT.fullmatch(text)
    return f"{moment[1]} {moment[2]}Z" if moment else text


def _width(text: str) -> int:
    """How many columns of a terminal the text takes: CJK and emoji take two, marks none."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth

    width: int = wcswidth(text)
    return width if width >= 0 else len(text)


def _cut(text: str, width: int) -> str:
    """The text, or as much of it as fits with a ``…`` behind it."""
    if _width(text) <= width:
        return text
    while _width(text) > width - 1:
        text = text[:-1]
    return text + "…"


def _json(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, indent=2)


def _yaml(value: Any) -> str:
    import yaml

    plain = value if isinstance(value, list) else dict(value)
    text: str = yaml.safe_dump(plain, allow_unicode=True, sort_keys=False)
    return text


def _write(text: str) -> None:
    click.echo(text, nl=False, color=True)  # True: as it is; click would take escapes out of what programs read


def duration(seconds: float | None) -> str | None:
    """A length of time in its two largest units.

    >>> duration(42), duration(4_000), duration(200_000)
    ('42s', '1h06m', '2d07h')
    """
    if seconds is None:
        return None
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def size(number: int | None) -> str | None:
    """An amount of bytes.

    >>> size(999), size(2_500_000)
    ('999 B', '2.5 MB')
    """
    if number is None:
        return None
    amount = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
