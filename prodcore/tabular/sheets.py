"""The first sheet of a workbook as records, row by row: XLSX, also Strict, and ODS; bombs are refused.

Read from the XML itself, not by a library: what a code looks like in the sheet, whether a formula has a value, and
which format shows a number are to be known of every cell, and a style that a library does not know must not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO
from zipfile import BadZipFile, ZipFile

from prodcore.errors import ConfigError, UnreadableInput
from prodcore.tabular.cells import NoValue, PlainNumber, SheetFlag
from prodcore.tabular.csv import MAX_LINE, CsvRecord
from prodcore.tabular.report import RefusedRow, in_time, refused

MAX_ROWS = 1_048_576
"""As many as a spreadsheet can hold."""
MAX_COLUMNS = 256
MAX_UNPACKED_BYTES = 1 << 30
MAX_TEXTS_BYTES = 16 << 20
"""Of the workbook's table of texts, which is held in memory."""
MAX_RATIO = 100
"""Honest sheets pack ten to thirty times smaller."""
_RATIO_FROM_BYTES = 10 << 20
_MAX_BLANK_ROWS = 100_000
"""Between rows that say something: more are only made to be many."""
_ESCAPED = re.compile(r"_x(000[9ADad]|005[Ff])_")
"""How a workbook writes TAB, LF, CR where XML would not keep them, and the sign that begins such an escape."""
_SIGNIFICANT_DIGITS = 15
"""As many as a spreadsheet keeps of a number and shows."""

_NO_VALUE = "is a formula whose value is not in the file: open it in a spreadsheet program, save it, import it again"
_TOO_LONG = "has more digits than a spreadsheet keeps, so the last ones are lost"
_A_DATE = (
    "is a date or a time in the sheet, and what was typed is lost: "
    "format the column as text in the spreadsheet and type it again"
)


class Sheet:
    """The first visible sheet. Raises UnreadableInput for a file that is damaged, dangerous or has no header."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._rows = self._read_rows()
        header = next((record for record in self._rows if isinstance(record, RefusedRow) or any(record.cells)), None)
        if header is None:
            raise UnreadableInput("the first sheet is empty: there is not even a header")
        if isinstance(header, RefusedRow):
            raise UnreadableInput(f"the header cannot be read: {header.problems[0].reason}")
        self.header = header

    def records(self) -> Iterator[CsvRecord | RefusedRow]:
        """The rows after the header; blank ones are left out, short ones are filled with empty cells."""
        width = len(self.header.cells)
        for row in self._rows:
            if isinstance(row, RefusedRow):
                yield row
            elif any(cell.strip() for cell in row.cells):
                yield CsvRecord(row.line, [*row.cells, *[""] * (width - len(row.cells))])

    def _read_rows(self) -> Iterator[CsvRecord | RefusedRow]:
        from xml.etree.ElementTree import ParseError

        damage: tuple[type[Exception], ...] = (*broken_archive(), _defused(), ParseError, KeyError, IndexError)
        try:
            refuse_bombs(self._file)
            with ZipFile(self._file) as archive:
                names = set(archive.namelist())
                read = _ods_rows if "content.xml" in names else _xlsx_rows
                for line, cells in read(archive):
                    if line > MAX_ROWS:
                        return
                    yield _record(line, cells)
        except damage as error:
            raise UnreadableInput(f"the workbook is damaged ({type(error).__name__})") from None


def broken_archive() -> tuple[type[Exception], ...]:
    """What reading a ZIP archive raises where a byte is not as it should be, or where it is locked.

    The directory may hold any place, name and method of packing, and each method has an error of its own.
    """
    import lzma
    import struct
    import zlib

    packing = (zlib.error, lzma.LZMAError, OSError, EOFError)
    return (BadZipFile, *packing, struct.error, ValueError, NotImplementedError, RuntimeError)


def refuse_bombs(file: BinaryIO) -> None:
    """Raises UnreadableInput for a workbook that would unfold to more than a sheet of products can need."""
    file.seek(0)
    with ZipFile(file) as archive:  # which never unfolds a part beyond the size that its directory says
        parts = archive.infolist()
    whole = sum(part.file_size for part in parts)
    texts = sum(part.file_size for part in parts if part.filename.endswith("sharedStrings.xml"))
    if whole > MAX_UNPACKED_BYTES or any(
        part.file_size > max(_RATIO_FROM_BYTES, MAX_RATIO * part.compress_size) for part in parts
    ):
        raise UnreadableInput("the XLSX file would unpack to far more than a sheet of products: it was not read")
    if texts > MAX_TEXTS_BYTES:
        raise UnreadableInput(
            f"the workbook holds {texts >> 20} MiB of different texts, more than is held in memory",
            hint="save the sheet as CSV UTF-8: that may have any size",
        )


def _defused() -> type[Exception]:
    try:
        from defusedxml.common import DefusedXmlException
    except ImportError:
        raise ConfigError(
            "reading workbooks needs defusedxml", hint="pip install 'prodctl[xlsx]', or save as CSV"
        ) from None
    kind: type[Exception] = DefusedXmlException
    return kind


def _elements(archive: ZipFile, part: str, *wanted: str) -> Iterator[Any]:
    """The elements of some names, whatever their namespace, each when it is whole; then it is thrown away."""
    from defusedxml.ElementTree import iterparse

    with archive.open(part) as file:
        path: list[Any] = []
        for event, element in in_time(iterparse(file, events=("start", "end"), forbid_dtd=False)):
            if event == "start":
                path.append(element)
                continue
            path.pop()
            if _tag(element) in wanted:
                yield element
                element.clear()
                if path:
                    path[-1].remove(element)


def _tag(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _attribute(element: Any, name: str) -> str:
    """An attribute, whatever its namespace."""
    return next((str(value) for key, value in element.attrib.items() if key.rpartition("}")[2] == name), "")


def _record(line: int, cells: list[str]) -> CsvRecord | RefusedRow:
    while cells and not cells[-1]:
        cells.pop()
    if len(cells) > MAX_COLUMNS:
        return refused(line, "too_many_cells", f"has more than {MAX_COLUMNS} cells")
    if sum(map(len, cells)) > MAX_LINE:
        return refused(line, "line_too_long", f"holds more than {MAX_LINE} characters")
    return CsvRecord(line, cells)


def _xlsx_rows(archive: ZipFile) -> Iterator[tuple[int, list[str]]]:
    workbook = _target(_relations(archive, ""), "", "officeDocument")
    relations = _relations(archive, workbook)
    sheets = {_attribute(r, "Id"): r for r in relations if _kind(r) == "worksheet"}  # those of charts have no rows
    visible = [rid for rid, state in _sheets(archive, workbook) if state in ("", "visible") and rid in sheets]
    sheet = _resolved(workbook, _attribute(sheets[visible[0]], "Target")) if visible else None
    if sheet is None:
        raise UnreadableInput("the workbook has no visible sheet")
    texts, formats = _texts(archive, workbook, relations), _formats(archive, workbook, relations)
    line = 0
    for row in _elements(archive, sheet, "row"):
        line = int(row.get("r") or line + 1)
        cells: list[str] = []
        for cell in row:
            place = _column(cell.get("r") or "")
            place = len(cells) if place is None else place
            if place > 16_384:
                raise ValueError
            cells += [""] * (min(place, MAX_COLUMNS + 1) - len(cells))
            cells.append(_xlsx_cell(cell, texts, formats))
        yield line, cells


def _relations(archive: ZipFile, part: str) -> list[Any]:
    folder, _, name = part.rpartition("/")
    path = f"{folder}/_rels/{name}.rels".lstrip("/")
    return [_kept(r) for r in _elements(archive, path, "Relationship")]


class _kept:  # noqa: N801  an element's attributes, which outlive it
    def __init__(self, element: Any) -> None:
        self.attrib = dict(element.attrib)


def _target(relations: Sequence[Any], base: str, kind: str) -> str:
    """The part that a relation of a kind leads to; Strict workbooks have other addresses with the same ends."""
    found = [r for r in relations if _kind(r) == kind][0]  # noqa: RUF015  an IndexError is a damaged workbook
    return _resolved(base, _attribute(found, "Target"))


def _kind(relation: Any) -> str:
    return _attribute(relation, "Type").rpartition("/")[2]


def _resolved(base: str, target: str) -> str:
    if target.startswith("/"):
        return target[1:]
    parts = base.split("/")[:-1]
    for piece in target.split("/"):
        parts = parts[:-1] if piece == ".." else [*parts, piece]
    return "/".join(parts)


def _sheets(archive: ZipFile, workbook: str) -> Iterator[tuple[str, str]]:
    """The sheets' relations and states, in their order."""
    for sheet in _elements(archive, workbook, "sheet"):
        yield _attribute(sheet, "id"), sheet.get("state") or ""


def _texts(archive: ZipFile, workbook: str, relations: Sequence[Any]) -> list[str]:
    """The table of texts that cells point into."""
    part = _optional(archive, workbook, relations, "sharedStrings")
    return [_string(element) for element in _elements(archive, part, "si")] if part else []


def _optional(archive: ZipFile, workbook: str, relations: Sequence[Any], kind: str) -> str:
    for relation in relations:
        if _kind(relation) == kind:
            part = _resolved(workbook, _attribute(relation, "Target"))
            return part if part in archive.namelist() else ""
    return ""


def _string(element: Any) -> str:
    """The text of a string, rich or not, without how it is pronounced."""
    runs = (t for child in element if _tag(child) in ("t", "r") for t in child.iter() if _tag(t) == "t")
    text = "".join(t.text or "" for t in runs)
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)


_BUILT_IN = {9: "0%", 10: "0.00%"} | dict.fromkeys(
    (*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)), "yy"
)
_BUILT_IN |= {1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 11: "0.00E+00", 48: "##0.0E+0", 49: "@"}
_BUILT_IN |= {12: "# ?/?", 13: "# ??/??"} | dict.fromkeys((*range(5, 9), *range(37, 45)), "#,##0.00")
"""The formats that have a number instead of a code; what shows a day or a time is one here, and so are amounts."""


def _formats(archive: ZipFile, workbook: str, relations: Sequence[Any]) -> list[str]:
    """The codes of the formats that cells point at."""
    part = _optional(archive, workbook, relations, "styles")
    codes, formats = dict(_BUILT_IN), []
    for element in _elements(archive, part, "numFmt", "cellXfs") if part else ():
        if _tag(element) == "numFmt":
            codes[int(element.get("numFmtId") or 0)] = element.get("formatCode") or ""
        else:
            formats = [codes.get(int(xf.get("numFmtId") or 0), "") for xf in element]
    return formats


def _column(reference: str) -> int | None:
    """The place of a cell, from 0.

    >>> _column("A1"), _column("AB12"), _column("")
    (0, 27, None)
    """
    letters = re.match(r"[A-Za-z]{1,3}", reference)
    if not letters:
        return None
    place = 0
    for letter in letters[0].upper():
        place = place * 26 + ord(letter) - 64
    return place - 1


def _xlsx_cell(cell: Any, texts: Sequence[str], formats: Sequence[str]) -> str:
    parts = {_tag(child): child for child in cell}
    kind = cell.get("t") or "n"
    if kind == "inlineStr":
        return _string(parts["is"]) if "is" in parts else ""
    value = (parts["v"].text or "") if "v" in parts else ""
    if kind == "str":
        return (
            NoValue("=", "formula_without_value", _NO_VALUE) if "v" not in parts and "f" in parts else _unescaped(value)
        )
    if not value.strip():
        return NoValue(f"={parts['f'].text or ''}", "formula_without_value", _NO_VALUE) if "f" in parts else ""
    if kind == "s":
        return texts[int(value)]
    if kind == "b":
        return SheetFlag("true" if value.strip() not in ("0", "false") else "false")
    if kind == "e":
        return NoValue(value, "formula_error", "is the error of a formula")
    if kind == "d":
        return NoValue(value, "date", _A_DATE)
    style = int(cell.get("s") or 0)
    return _number(value, formats[style] if style < len(formats) else "")


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)


_LITERAL = re.compile(r'"([^"]*)"|\\(.)|\[\$([^\]-]*)(?:-[^\]]*)?\]|\[[^\]]*\]|[_*].')
"""Parts of a format that stand for themselves, a currency, a condition or a blank."""


def _number(value: str, code: str) -> str:
    """A number as its format shows it, as far as that is known."""
    number = float(value)
    digits = str(int(value)) if re.fullmatch(r"-?[0-9]{1,15}", value.strip()) else format_number(number)
    positive = code.partition(";")[0]
    literals = ["".join(filter(None, found)).strip() for found in _LITERAL.findall(positive)]
    bare = _LITERAL.sub("", positive).strip()
    if re.search(r"[dmyhs]", bare, re.IGNORECASE) and bare.lower() != "general":
        return NoValue(digits, "date", _A_DATE)
    if "%" in bare:
        return PlainNumber(digits, f"{format_number(number * 100)}%")
    currency = next((text for text in [*literals, bare.strip("0#.,? ")] if _is_currency(text)), "")
    if abs(number) >= 10**_SIGNIFICANT_DIGITS:
        return PlainNumber(
            digits, None, "has more digits than a spreadsheet keeps, so the last ones are lost", currency
        )
    if not any(literals) and (bare in ("", "@", "0", "#") or bare.lower() == "general"):
        return PlainNumber(digits)
    if not any(literals) and re.fullmatch("0+", bare) and digits.isdigit():
        return PlainNumber(digits, digits.zfill(len(bare)))
    return PlainNumber(digits, None, f"is the number {digits}, which the sheet shows in another form", currency)


def _is_currency(text: str) -> bool:
    import unicodedata

    return bool(re.fullmatch("[A-Z]{3}", text)) or (len(text) == 1 and unicodedata.category(text) == "Sc")


def format_number(value: float) -> str:
    """A number as a spreadsheet shows it in full.

    >>> format_number(0.1 + 0.2), format_number(8480000100128.0), format_number(1e-7)
    ('0.3', '8480000100128', '0.0000001')
    """
    from decimal import Decimal

    return format(Decimal(f"{value:.{_SIGNIFICANT_DIGITS}g}"), "f")


def _ods_rows(archive: ZipFile) -> Iterator[tuple[int, list[str]]]:
    hidden = _hidden_styles(archive)
    if "META-INF/manifest.xml" in archive.namelist() and b"encryption-data" in archive.read("META-INF/manifest.xml"):
        raise UnreadableInput("the workbook is locked with a password", hint="save it without, or as CSV UTF-8")
    line = 0
    for table, row in _ods_table_rows(archive):
        if table in hidden:
            continue
        cells = _ods_cells(row)
        count = int(_attribute(row, "number-rows-repeated") or 1)
        if not any(cells):
            line += min(count, _MAX_BLANK_ROWS)
            continue
        for _ in range(min(count, MAX_ROWS - line + 1)):
            line += 1
            yield line, list(cells)


def _ods_table_rows(archive: ZipFile) -> Iterator[tuple[str, Any]]:
    """The rows of the first visible table, each with its table's style."""
    from defusedxml.ElementTree import iterparse

    hidden = _hidden_styles(archive)
    with archive.open("content.xml") as file:
        style = None
        for event, element in in_time(iterparse(file, events=("start", "end"))):
            tag = _tag(element)
            if event == "start" and tag == "table":
                style = _attribute(element, "style-name")
            elif event == "end" and tag == "table-row":
                yield style or "", element
                element.clear()
            elif event == "end" and tag == "table" and style not in hidden:
                return


def _hidden_styles(archive: ZipFile) -> set[str]:
    """The styles of tables that are not displayed."""
    hidden = set()
    for style in _elements(archive, "content.xml", "style"):
        if any(_attribute(child, "display") == "false" for child in style if _tag(child) == "table-properties"):
            hidden.add(_attribute(style, "name"))
    return hidden


def _ods_cells(row: Any) -> list[str]:
    cells: list[str] = []
    for cell in row:
        if _tag(cell) not in ("table-cell", "covered-table-cell"):
            continue
        count = int(_attribute(cell, "number-columns-repeated") or 1)
        cells += [_ods_cell(cell)] * min(count, MAX_COLUMNS + 1 - len(cells))
    return cells


def _ods_cell(cell: Any) -> str:
    shown = "\n".join(_ods_text(p) for p in cell if _tag(p) == "p")
    kind, value = _attribute(cell, "value-type"), _attribute(cell, "value")
    if kind in ("date", "time"):
        return NoValue(shown, "date", _A_DATE)
    if kind == "boolean":
        return SheetFlag(_attribute(cell, "boolean-value"))
    if _attribute(cell, "formula") and not kind:
        return NoValue("=", "formula_without_value", _NO_VALUE)
    if shown.startswith(("#", "Err:")) and _attribute(cell, "formula"):
        return NoValue(shown, "formula_error", "is the error of a formula")
    if kind not in ("float", "percentage", "currency"):
        return shown
    digits = format_number(float(value))
    if kind == "percentage":
        return PlainNumber(digits, f"{shown.rstrip('%').strip()}%")
    if abs(float(value)) >= 10**_SIGNIFICANT_DIGITS:
        return PlainNumber(digits, None, _TOO_LONG)
    if shown.isdigit() and int(shown) == float(value):
        return PlainNumber(digits, shown)
    same = re.sub(r"[.,](?=[0-9]+$)", ".", shown) == digits
    why = f"is the number {digits}, which the sheet shows in another form"
    return PlainNumber(digits, shown if same else None, why, _attribute(cell, "currency"))


def _ods_text(paragraph: Any) -> str:
    """The text of a paragraph: repeated blanks, tabs and line ends are elements there; notes are no part of it."""
    text = paragraph.text or ""
    for child in paragraph:
        tag = _tag(child)
        if tag == "s":
            text += " " * min(int(_attribute(child, "c") or 1), 1_000)
        elif tag in ("tab", "line-break"):
            text += "\t" if tag == "tab" else "\n"
        elif tag not in ("annotation", "note"):
            text += _ods_text(child)
        text += child.tail or ""
    return text
