"""Lists on stdout, piece by piece: the first rows are seen before the last ones are there."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import click

from prodctl.terminal.streams import (
    displayed,
    escape_in_json,
    is_safe,
    is_unicode,
    on_terminal,
    tell,
    visible,
    write,
    write_utf8,
)

SCHEMA_VERSION = 1

RAW = "prodctl.raw"
"""In the context's ``meta``: CSV is to hold the values as they are."""

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)", re.ASCII)
"""A time in UTC, as the API writes them."""
_SHOWN_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", re.ASCII)

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table: its heading and the row's key.

    ``wide`` shows it in ``-o wide`` only; ``right`` is for numbers; what identifies something is never cut
    nor left out; a text that ``wraps`` goes on in the next line, others are cut where there is no room.
    """

    title: str
    key: str
    wide: bool = False
    right: bool = False
    identifies: bool = False
    wraps: bool = False


class RowWriter(Protocol):
    """Prints rows as they come; ``finish`` ends the list and adds facts about it (JSON and YAML only)."""

    def add(self, rows: Rows) -> None:
        """Print some rows."""

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Print what ends the list."""


def row_writer(shown: Sequence[TableColumn], output: str, kind: str, empty: str) -> RowWriter:
    """The writer for a format; ``empty`` is the message where there is no row."""
    if output == "json":
        return _JsonWriter(kind)
    if output == "yaml":
        return _YamlWriter(kind)
    if output == "csv":
        context = click.get_current_context(silent=True)
        return _CsvWriter(shown, raw=bool(context and context.meta.get(RAW)))
    return _TableWriter([c for c in shown if output == "wide" or not c.wide], output == "table", empty)


def print_document(document: Mapping[str, Any], output: str) -> None:
    """One JSON or YAML document."""
    write(_json(document) + "\n" if output == "json" else _yaml(document))


class _JsonWriter:
    def __init__(self, kind: str) -> None:
        self._head = f'{{\n  "schema_version": {SCHEMA_VERSION},\n  "kind": {_json(kind)},\n  "items": ['
        self._any = False

    def add(self, rows: Rows) -> None:
        for row in rows:
            write((",\n    " if self._any else f"{self._head}\n    ") + _json(row).replace("\n", "\n    "))
            self._any = True

    def finish(self, facts: Mapping[str, Any]) -> None:
        write("\n  ]" if self._any else f"{self._head}]")
        inner = _json(dict(facts))[1:-2]  # without the braces: they are the list's own
        write(f",{inner}\n}}\n" if facts else "\n}\n")


class _YamlWriter:
    def __init__(self, kind: str) -> None:
        self._head = _yaml({"schema_version": SCHEMA_VERSION, "kind": kind})
        self._any = False

    def add(self, rows: Rows) -> None:
        if rows:
            write(("" if self._any else f"{self._head}items:\n") + _yaml([dict(row) for row in rows]))
            self._any = True

    def finish(self, facts: Mapping[str, Any]) -> None:
        write(("" if self._any else f"{self._head}items: []\n") + (_yaml(facts) if facts else ""))


class _CsvWriter:
    def __init__(self, shown: Sequence[TableColumn], *, raw: bool) -> None:
        self._shown = shown
        self._raw = raw
        self._head_is_written = False

    def add(self, rows: Rows) -> None:
        import csv
        import io

        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        if not self._head_is_written:
            writer.writerow([column.key for column in self._shown])
            self._head_is_written = True
        writer.writerows([[self._cell(row.get(column.key)) for column in self._shown] for row in rows])
        write_utf8(buffer.getvalue())

    def finish(self, facts: Mapping[str, Any]) -> None:
        if not self._head_is_written:
            self.add([])

    def _cell(self, value: Any) -> str:
        """No spreadsheet takes it for a formula, no terminal for an order."""
        text = cell(value)
        if self._raw or isinstance(value, int | float):
            return text
        from prodcore.tabular.report import escape_formula

        return str(escape_formula(visible(text, keep_lines=True)))


_NARROWEST = 12
"""Of a text that is cut or goes on in the next line."""
_ONE_WORD = 24
"""Up to this width a text without blanks (an address, a role, a time) is shown whole."""


class _TableWriter:
    """Columns get their widths from the first rows; later rows are cut to them on a terminal."""

    def __init__(self, shown: Sequence[TableColumn], fit: bool, empty: str) -> None:
        self._shown = list(shown)
        self._empty = empty
        self._fit = fit and (on_terminal() or "COLUMNS" in os.environ)
        self._widths: list[int] = []
        self._left_out: list[str] = []

    def add(self, rows: Rows) -> None:
        if not rows:
            return
        import tabulate

        tabulate.MIN_PADDING = 0  # the headings are padded here, to the widths that fit
        later = bool(self._widths)
        if not later:
            self._choose_columns([self._cells(row) for row in rows])
        text = tabulate.tabulate(
            [self._fitted(self._cells(row)) for row in rows],
            headers=[
                f"{column.title.upper():{'>' if column.right else '<'}{width}}"
                for column, width in zip(self._shown, self._widths, strict=True)
            ],
            tablefmt="plain",
            disable_numparse=True,
            colalign=["right" if column.right else "left" for column in self._shown],
        )
        write("".join(f"{line.rstrip()}\n" for line in text.splitlines()[later:]))

    def finish(self, facts: Mapping[str, Any]) -> None:
        if not self._widths:
            tell(self._empty)
        elif self._left_out:
            tell(f"No room for {', '.join(self._left_out)}: -o wide shows all.")

    def _cells(self, row: Mapping[str, Any]) -> list[str]:
        return [displayed(visible(readable(row.get(column.key)))) for column in self._shown]

    def _fitted(self, cells: Sequence[str]) -> list[str]:
        """The cells of a row as a terminal has room for them: cut, or in several lines."""
        if not self._fit:
            return list(cells)
        return [
            "\n".join(_wrapped(text, width))
            if column.wraps
            else text
            if column.identifies or column.right
            else _cut(text, width)
            for column, text, width in zip(self._shown, cells, self._widths, strict=True)
        ]

    def _choose_columns(self, cells: list[list[str]]) -> None:
        """The widths; where there is no room, texts get narrower, and then the last columns are left out."""
        import shutil

        room = shutil.get_terminal_size().columns
        columns = [[column.title, *(row[i] for row in cells)] for i, column in enumerate(self._shown)]
        widest = [max(map(_width, texts)) for texts in columns]
        least = [_least(c, texts, w) for c, texts, w in zip(self._shown, columns, widest, strict=True)]
        kept = list(range(len(widest)))
        while self._fit and sum(least[i] + 2 for i in kept) - 2 > room:
            spare = [i for i in kept[1:] if not self._shown[i].identifies]
            if not spare:
                break
            kept.remove(spare[-1])
        self._left_out = [c.title for i, c in enumerate(self._shown) if i not in kept]
        self._shown = [self._shown[i] for i in kept]
        self._widths = [widest[i] for i in kept]
        least = [least[i] for i in kept]
        while self._fit and sum(self._widths) + 2 * len(kept) - 2 > room:
            slack = [width - low for width, low in zip(self._widths, least, strict=True)]
            if not any(slack):
                break
            at = max(range(len(kept)), key=lambda i: self._widths[i] if slack[i] else 0)
            self._widths[at] -= 1


def _least(column: TableColumn, texts: Sequence[str], widest: int) -> int:
    """How narrow a column may get."""
    one_word = widest <= _ONE_WORD and all(" " not in text or _SHOWN_MOMENT.fullmatch(text) for text in texts[1:])
    if column.identifies or column.right or (one_word and not column.wraps):
        return widest
    return min(widest, max(_NARROWEST, _width(column.title)))


def _wrapped(text: str, width: int) -> list[str]:
    """The text in lines, broken at blanks where it has some."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if _width(longer) <= width:
            lines[-1] = longer
            continue
        lines += [word] if lines[-1] else []
        lines[-1] = lines[-1] or word
        while _width(lines[-1]) > width:
            head = _cut(lines[-1], width, mark="")
            lines[-1:] = [head, lines[-1][len(head) :]]
    return lines


def shortened(ids: Sequence[str]) -> dict[str, str]:
    """The shortest beginnings of ids that tell them apart, of eight characters at least.

    >>> shortened(["6f1c0c2e-7a1b", "6f1c0c2e-7b00", "77777777-0000"])
    {'6f1c0c2e-7a1b': '6f1c0c2e-7a', '6f1c0c2e-7b00': '6f1c0c2e-7b', '77777777-0000': '77777777'}
    """
    short = {}
    for one in ids:
        length = 8
        while length < len(one) and sum(other.startswith(one[:length]) for other in ids) > 1:
            length += 1
        short[one] = one[:length]
    return short


def with_short_ids(items: Sequence[Mapping[str, Any]], output: str) -> list[dict[str, Any]]:
    """The items, for people with a ``short_id`` that can be typed back."""
    if output in ("json", "yaml"):
        return [dict(item) for item in items]
    short = shortened([item["id"] for item in items])
    return [{**item, "short_id": short[item["id"]]} for item in items]


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
    if text.isascii() or max(text) < "\u0300":  # letters of Latin alphabets: no need to load a table
        return len(text)
    from wcwidth import wcswidth

    width: int = wcswidth(text)
    return width if width >= 0 else len(text)


def _cut(text: str, width: int, mark: str = "…") -> str:
    """The text, or as much of it as fits with a mark behind it."""
    if _width(text) <= width:
        return text
    mark = displayed(mark)
    text = text[: 4 * width]  # no need to measure all of a long one
    while text and _width(text) > width - len(mark):
        text = text[:-1]
    return text + mark


def _json(value: Any) -> str:
    import json

    return escape_in_json(json.dumps(value, ensure_ascii=not is_unicode(), indent=2))


def _yaml(value: Any) -> str:
    import yaml

    plain = value if isinstance(value, list) else dict(value)
    text: str = yaml.safe_dump(plain, allow_unicode=is_unicode(), sort_keys=False)
    return text if is_safe(text) else str(yaml.safe_dump(plain, allow_unicode=False, sort_keys=False))


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
