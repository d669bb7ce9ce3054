"""Products as JSON objects, one a line, in the words of the REST API: each value says exactly what it is."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any, NoReturn

from prodcore.product.fields import FIELDS, NAMES, names_of_kind
from prodcore.tabular.cells import PlainNumber, Typed
from prodcore.tabular.columns import IGNORE, REQUIRED, Column, folded_title, refuse_unknown_targets, target_of
from prodcore.tabular.csv import MAX_LINE, excerpt
from prodcore.tabular.export import tags_cell
from prodcore.tabular.report import CellProblem, RefusedRow, refused
from prodcore.tabular.rows import Corrections, Row, Sample

_TEXTS = names_of_kind("text", "paragraphs", "code", "currency") | {"tag"}
_MOST_DIGITS = 40
_COUNTS = names_of_kind("count")
_MAY_BE_NULL = frozenset(row.name for row in FIELDS if row.default is None)


class JsonLines:
    """An NDJSON file that is read once, from front to end, in bounded memory."""

    def __init__(self, source: io.BufferedReader[Any], corrections: Corrections | None = None) -> None:
        self._source = source
        self._corrections = corrections or {}

    def rows(self, given: Mapping[str, str], required: Sequence[str] = REQUIRED) -> Iterator[Row | RefusedRow]:
        """Each object as a row, or why it is none. A field that is not there stays as it is stored; null empties it.

        ``given`` maps keys to targets. A key that nothing knows refuses its row. Raises InvalidInput for a target that
        does not exist.
        """
        refuse_unknown_targets(given)
        wanted = {folded_title(key): target for key, target in given.items()}
        number = 0
        while line := self._source.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE and not line.endswith(b"\n"):
                while (rest := self._source.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                    pass
                reason = f"the line is longer than {MAX_LINE} bytes"
                yield refused(number, "line_too_long", reason, value=excerpt(line.decode("utf-8", "replace")))
            elif line.strip() and line.strip() != b"\x1a":  # which old programs write at the end of a file
                line = line.removeprefix(b"\xef\xbb\xbf")
                was, typed = line.decode("utf-8", "replace").strip(), self._corrections.get(number, {}).get(0, "")
                if typed.strip() in ("", was):
                    yield _read(number, line, wanted, required)
                else:
                    text = Typed(" ".join(typed.split("\n")).strip(), was)
                    yield _with_line(_read(number, text.encode(), wanted, required), text)

    def samples(self, columns: Sequence[Column], rows: int, most: int) -> list[list[Sample]]:
        """The first different values of each key, in so many rows, and what would be stored of them."""
        found: list[dict[str, Sample]] = [{} for _column in columns]
        for row in islice(self.rows({column.title: column.target for column in columns}, ()), rows):
            given = {key: (field, text) for field, (key, text) in row.cells.items()} if isinstance(row, Row) else {}
            wrong = {problem.column: problem for problem in row.problems} if isinstance(row, RefusedRow) else {}
            for column, samples in zip(columns, found, strict=True):
                field, text = given.get(column.title, ("", wrong[column.title].value if column.title in wrong else ""))
                if text and len(samples) < most and text not in samples:
                    value = row.fields[field] if isinstance(row, Row) else None
                    samples[text] = Sample(row.line, text, value, problem=wrong.get(column.title))
        return [list(samples.values()) for samples in found]


def _with_line(row: Row | RefusedRow, text: str) -> Row | RefusedRow:
    return replace(row, record=[text]) if isinstance(row, Row) else replace(row, cells=[text])


def _read(number: int, line: bytes, wanted: Mapping[str, str], required: Sequence[str]) -> Row | RefusedRow:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return refused(number, "bad_encoding", "is not UTF-8", value=excerpt(line.decode("utf-8", "replace")))
    try:
        data = json.loads(
            text, parse_constant=_refuse, parse_int=_integer, parse_float=_number, object_pairs_hook=_unique
        )
        if "\\u" in text:
            json.dumps(data, ensure_ascii=False).encode()
        if not isinstance(data, dict):
            raise ValueError("it is not an object {…}")  # noqa: TRY004  the same refusal as for the rest
    except (ValueError, RecursionError) as error:
        reason = f"is not a JSON object: {_said(error)}"
        return refused(number, "bad_json", reason, value=excerpt(text), cells=[text.strip()])
    return _as_row(number, text.strip(), data, wanted, required)


def _said(error: Exception) -> str:
    """What is wrong with a line, in our own words."""
    if isinstance(error, RecursionError):
        return "too deep"
    if isinstance(error, UnicodeEncodeError):
        return "it holds half of a character, which cannot be stored"
    if isinstance(error, json.JSONDecodeError):
        return f"something is wrong at character {error.colno}"
    return str(error)


def _as_row(
    number: int, text: str, data: dict[str, Any], wanted: Mapping[str, str], required: Sequence[str]
) -> Row | RefusedRow:
    row = Row(number, {}, {}, [text])
    problems = [CellProblem(field, "", "missing", "is required") for field in required]
    for key, value in data.items():
        target = wanted.get(folded_title(key)) or target_of(key)
        shown = excerpt(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        if target == IGNORE:
            continue
        problems = [p for p in problems if p.column != target]
        field = "tags" if target == "tag" else target
        if target is None or field is None:
            problems.append(CellProblem(key, shown, "extra_forbidden", f"is not a known field: --map {key}={IGNORE}"))
        elif reason := _mistaken(target, value):
            problems.append(CellProblem(key, shown, "wrong_type", reason))
        elif field == "tags":
            row.fields.setdefault("tags", []).extend([value] if target == "tag" else value)
        elif field in row.fields:
            problems.append(CellProblem(key, shown, "repeated", f"the row gives the {target} twice"))
        else:
            row.fields[field] = _whole(value) if field in _COUNTS else value
        row.cells[str(field)] = key, shown
    return row.refusal(*problems) if problems else row


def _whole(value: Any) -> Any:
    """A count that a program wrote with decimals, such as 4.0."""
    number = Decimal(value) if isinstance(value, PlainNumber) else None
    return int(number) if number is not None and number == number.to_integral_value() else value


def _mistaken(target: str, value: Any) -> str:
    """Why a value cannot be what the target is made of; the service looks closer at what passes."""
    is_text = isinstance(value, str) and not isinstance(value, PlainNumber)
    if target in _TEXTS:
        return "" if is_text or (value is None and target in _MAY_BE_NULL) else "must be text"
    if target == "tags":
        return (
            ""
            if isinstance(value, list) and all(type(tag) is str for tag in value)
            else "must be a list of text values"
        )
    return "must be one value" if isinstance(value, list | dict) else ""


def _number(text: str) -> PlainNumber:
    """A number with a fraction or an exponent, as the service reads it: its value counts, not how it is written."""
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent that no library counts in
        raise _too_long(text) from None
    if abs(number.adjusted()) > _MOST_DIGITS:
        raise _too_long(text)
    return PlainNumber(format(number, "f"))


def _integer(text: str) -> int:
    """One that is too long for the service would have it refuse the other rows too."""
    if len(text) > _MOST_DIGITS:
        raise _too_long(text)
    return int(text)


def _too_long(text: str) -> ValueError:
    return ValueError(f"{text[:20]}{'…' if len(text) > 20 else ''} has too many digits")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("it names the same field twice")
    return data


def as_cells(text: str, given: Mapping[str, str]) -> list[str]:
    """A line as the cells of ``NAMES``, as far as it can be read: what a CSV file of it would hold."""
    try:
        data = json.loads(text, parse_float=PlainNumber)
        fields = {given.get(key) or target_of(key): value for key, value in data.items()}
    except (ValueError, AttributeError, RecursionError):
        fields = {}
    return [_as_cell(name, fields.get(name)) for name in NAMES]


def _as_cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "tags" and isinstance(value, list):
        return tags_cell([str(tag) for tag in value])
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return PlainNumber(value) if isinstance(value, int) else str(value)
