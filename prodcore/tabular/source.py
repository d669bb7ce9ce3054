"""What a file to import is, by its first bytes, and its rows: CSV, XLSX, ODS, or JSON objects one a line."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any, BinaryIO, Literal, Self, TypeVar, cast
from zipfile import BadZipFile, ZipFile

from prodcore.errors import InvalidInput, UnreadableInput
from prodcore.tabular.cells import Locale, NumberForm, evidence, is_numeric
from prodcore.tabular.columns import (
    REQUIRED,
    TARGETS,
    Column,
    count_known,
    folded_title,
    is_export,
    map_columns,
    numbered,
    unknown_titles,
)
from prodcore.tabular.csv import CsvRecord, CsvText, wide_encoding
from prodcore.tabular.ndjson import JsonLines
from prodcore.tabular.report import RefusedRow
from prodcore.tabular.rows import (
    Corrections,
    Keep,
    RepeatedRow,
    Row,
    RowIndex,
    Sample,
    corrected,
    read_rows,
    sample_cells,
    without_repeats,
)
from prodcore.tabular.sheets import Sheet, broken_archive

T = TypeVar("T")

By = Literal["name", "sku"]
"""How a row finds its product: by name and variant, or by SKU."""

Kind = Literal["CSV", "XLSX", "ODS", "NDJSON"]

_BOM = b"\xef\xbb\xbf"
_ZIP = b"PK\x03\x04"
_PIPED_SHEET_BYTES = 256 << 20
_UNPACK = "unpack it, and import the file that is in it"
_SAVE = "save it as .xlsx or as CSV UTF-8"

_KNOWN_STARTS = (
    (b"\xd0\xcf\x11\xe0", "an old or a locked Excel file", _SAVE),
    (b"\x89PNG", "a PNG image", ""),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"GIF8", "a GIF image", ""),
    (b"RIFF", "an image, a sound or a film", ""),
    (b"II*\0", "a TIFF image", ""),
    (b"MM\0*", "a TIFF image", ""),
    (b"%PDF", "a PDF document", "export the table as a spreadsheet or as CSV where the PDF comes from"),
    (b"\x1f\x8b", "a gzip archive", "gunzip -c FILE | prodctl product import -"),
    (b"BZh", "a bzip2 archive", "bunzip2 -c FILE | prodctl product import -"),
    (b"\xfd7zXZ", "an xz archive", "xz -dc FILE | prodctl product import -"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "zstd -dc FILE | prodctl product import -"),
    (b"7z\xbc\xaf", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"SQLite format 3", "an SQLite database", "export its table as CSV"),
    (b"PAR1", "a Parquet file", "save its table as CSV"),
    (b"\x7fELF", "a program", ""),
    (b"MZ\x90", "a program", ""),
    (b"{\\rtf", "an RTF document", "save its table as CSV UTF-8"),
    (b"<!doctype html", "a web page, whatever its name", _SAVE),
    (b"<html", "a web page, whatever its name", _SAVE),
    (b"<?xml", "an XML file", _SAVE),
)
"""What else is given to an import, by its first bytes in small letters, and what to do with it."""
_PACKED = (
    ("word/document.xml", "a Word document", "copy its table into a spreadsheet and save that"),
    ("ppt/presentation.xml", "a PowerPoint presentation", ""),
    ("xl/workbook.bin", "a binary Excel workbook (.xlsb)", _SAVE),
)
_OPEN_DOCUMENTS = {"text": "a text document", "presentation": "a presentation", "graphics": "a drawing"}


@dataclass(frozen=True, slots=True)
class SavedReading:
    """How a supplier's files are read, as it is kept under a name for the next one."""

    by: By = "name"
    locale: Locale | None = None
    delimiter: str = ""
    """Of CSV files; empty: found."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """What columns give, by their headings; by their places (``#3``) where they have none, or one stands twice."""

    @classmethod
    def of_columns(cls, columns: Sequence[Column], by: By, locale: Locale | None, delimiter: str) -> Self:
        """What the columns of a file give, to be kept."""
        folded = [folded_title(column.title) for column in columns]
        named = [
            c.title if f and folded.count(f) == 1 else numbered(c.index) for c, f in zip(columns, folded, strict=True)
        ]
        return cls(by, locale, delimiter, dict(zip(named, (column.target for column in columns), strict=True)))

    def targets(self, titles: Sequence[str]) -> dict[int, str]:
        """What it says of the columns of a file, by their places; the others are as their headings say."""
        kept = {folded_title(title): target for title, target in self.columns.items() if not title.startswith("#")}
        found = {i: kept.get(folded_title(t)) or self.columns.get(numbered(i)) for i, t in enumerate(titles)}
        return {i: target for i, target in found.items() if target in TARGETS}

    def fits(self, titles: Sequence[str]) -> bool:
        """Whether a file has all the columns that it names."""
        return bool(self.columns) and not self.missing(titles)

    def missing(self, titles: Sequence[str]) -> list[str]:
        """The columns that it names and a file does not have."""
        there = {folded_title(title) for title in titles} | {numbered(i) for i in range(len(titles))}
        return [title for title in self.columns if title not in there and folded_title(title) not in there]

    def as_text(self) -> str:
        """As it is stored."""
        kept = {"by": self.by, "locale": self.locale, "delimiter": self.delimiter, "columns": dict(self.columns)}
        return json.dumps(kept, ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """As it was stored."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is to be read; what is empty is found."""

    by: By = "name"
    locale: Locale | None = None
    delimiter: str = ""
    encoding: str = ""
    mapping: Mapping[str, str] = field(default_factory=dict)
    keep: Keep = "refuse"
    corrections: Corrections = field(default_factory=dict)
    """Of NDJSON the whole line is one cell."""
    saved: SavedReading | None = None
    """What its columns give counts where ``mapping`` says nothing of them."""

    def given(self, titles: Sequence[str]) -> dict[str, str]:
        """What is said of the columns of a file, by heading or place."""
        said = {folded_title(title) for title in self.mapping}
        kept = self.saved.targets(titles) if self.saved else {}
        of_saved = {numbered(i): target for i, target in kept.items() if folded_title(titles[i]) not in said}
        return {**of_saved, **self.mapping}

    @property
    def keys(self) -> Mapping[str, str]:
        """What is said of the keys of NDJSON."""
        return {**self.saved.columns, **self.mapping} if self.saved else self.mapping

    @property
    def required(self) -> Sequence[str]:
        """The targets that every row must give."""
        return ("sku",) if self.by == "sku" else REQUIRED


@dataclass(frozen=True, slots=True)
class Source:
    """An opened file: what it is, the headings of its columns, those that nobody knows, and its rows."""

    kind: Kind
    rows: Iterator[Row | RefusedRow]
    header: Sequence[str] = ()
    unknown: Sequence[str] = ()
    csv: CsvText | None = None
    again: Callable[[], Iterator[Row | RefusedRow]] = lambda: iter(())
    """All its rows once more, while ``rows`` is under way."""

    def kept_rows(self, index: RowIndex, keep: Keep) -> Iterator[Row | RefusedRow | RepeatedRow]:
        """The rows without what the file says twice; see ``without_repeats``."""
        if keep == "last":
            index.note_last(self.again())
        return without_repeats(self.rows, index, keep)


def open_source(file: io.BufferedReader[Any], how: Reading) -> Source:
    """Look at the beginning of a file and get ready to read it once.

    Raises UnreadableInput for what is no file of products, InvalidInput for options that do not fit it.
    """
    kind = kind_of(file.peek(512)[:512], file if file.seekable() else None)
    is_sheet = kind in ("XLSX", "ODS")
    if file.seekable() or not (is_sheet or how.locale is None or how.keep == "last"):
        return _opened(file, kind, how)
    copy = _copied(file, _PIPED_SHEET_BYTES if is_sheet else None)
    source = _opened(copy, kind_of(copy.peek(512)[:512], copy), how)
    return replace(source, rows=_closing(copy, source.rows))


def _opened(file: io.BufferedReader[Any], kind: Kind, how: Reading) -> Source:
    if kind == "NDJSON":
        _refuse_options("NDJSON", how, "delimiter", "encoding", "locale")

        def rows() -> Iterator[Row | RefusedRow]:
            return JsonLines(file, how.corrections).rows(how.keys, how.required)

        return Source("NDJSON", rows(), again=lambda: _from_the_start(file, rows))
    if kind == "CSV":
        return _from_table("CSV", lambda: CsvText(file, count_known, how.delimiter, how.encoding), file, how)
    _refuse_options(kind, how, "delimiter", "encoding")
    return _from_table(kind, lambda: Sheet(cast("BinaryIO", file)), file, how)


def kind_of(start: bytes, file: BinaryIO | None = None) -> Kind:
    """What begins like this; in an archive ``file`` is looked at. Raises UnreadableInput for no file of products."""
    start = start.removeprefix(_BOM)
    if start.startswith(_ZIP):
        return _kind_of_archive(file) if file else "XLSX"
    text = start.lstrip()
    for known, what, hint in _KNOWN_STARTS:
        if start.startswith(known) or text.lower().startswith(known):
            raise UnreadableInput(f"this is {what}", hint=hint or "products come as CSV, XLSX, ODS or NDJSON")
    wide = wide_encoding(start)
    if wide and start.decode(wide, "ignore").lstrip("\ufeff \r\n").startswith("{"):
        raise UnreadableInput("this is NDJSON in UTF-16, and JSON is UTF-8", hint="save it as UTF-8")
    if not wide and b"\0" in start:
        raise UnreadableInput("this is neither text nor a workbook", hint="products come as CSV, XLSX, ODS or NDJSON")
    if text.startswith(b"[") and text[1:].lstrip()[:1] in (b"{", b"]"):
        raise UnreadableInput("this is one JSON list", hint="write an object a line, as jq -c '.[]' does")
    if text.split(b"\n", 1)[0].strip() == b"{":
        raise UnreadableInput("this is JSON over several lines", hint="write an object a line, as jq -c . does")
    return "NDJSON" if text.startswith(b"{") else "CSV"


def _kind_of_archive(file: BinaryIO) -> Kind:
    """What a ZIP archive is: a workbook, or something that is named. Its place in the file is left as it was."""
    place = file.tell()
    try:
        with ZipFile(file) as archive:
            names = archive.namelist()
            mimetype = _beginning(archive, "mimetype") if "mimetype" in names else ""
    except BadZipFile:
        raise UnreadableInput("the workbook is damaged: it is a ZIP archive without an end") from None
    except broken_archive() as error:
        raise UnreadableInput(f"the workbook is damaged ({type(error).__name__})") from None
    finally:
        file.seek(place)
    for part, what, hint in _PACKED:
        if part in names:
            raise UnreadableInput(f"this is {what}", hint=hint or _SAVE)
    if mimetype.startswith("application/vnd.oasis.opendocument."):
        document = mimetype.removeprefix("application/vnd.oasis.opendocument.").split("-template")[0]
        if document == "spreadsheet":
            return "ODS"
        raise UnreadableInput(f"this is {_OPEN_DOCUMENTS.get(document, 'a document')}", hint=_SAVE)
    if any(name.endswith(("workbook.xml", "[Content_Types].xml")) for name in names):
        return "XLSX"
    held = [name for name in names if not name.endswith("/")]
    listed = ", ".join(held[:3]) + (" …" if len(held) > 3 else "")
    raise UnreadableInput(f"this is a ZIP archive that contains {listed or 'nothing'}", hint=_UNPACK)


def _beginning(archive: ZipFile, name: str) -> str:
    """The first characters of a part, which may unfold to anything."""
    with archive.open(name) as part:
        return part.read(100).decode("ascii", "replace")


Table = CsvText | Sheet


def _from_table(kind: Kind, opened: Callable[[], Table], file: io.BufferedReader[Any], how: Reading) -> Source:
    table = opened()
    titles = table.header.cells
    given = how.given(titles)
    mapped = map_columns(titles, given, how.required)
    exported = kind == "CSV" and is_export(titles)

    def records() -> Iterator[CsvRecord | RefusedRow]:
        return _from_the_start(file, lambda: corrected(opened().records(), how.corrections))

    settle = _Settling(mapped, records if file.seekable() else lambda: iter(()))

    def read(found: Iterator[CsvRecord | RefusedRow]) -> Iterator[Row | RefusedRow]:
        return read_rows(found, mapped, how.locale, how.required, exported=exported, settle=settle)

    return Source(
        kind,
        read(corrected(table.records(), how.corrections)),
        [" ".join(title.split()) for title in titles],
        unknown_titles(mapped, given),
        table if isinstance(table, CsvText) else None,
        lambda: read(records()),
    )


_SAMPLED_ROWS = 1_000


def sample(file: io.BufferedReader[Any], how: Reading, columns: Sequence[Column], most: int) -> list[list[Sample]]:
    """The first different cells of each of ``columns``, and what would be stored of them, whether the choice of columns
    is a possible one or not. ``file`` can be read again from its start. Raises UnreadableInput.
    """
    kind = kind_of(file.peek(512)[:512], file)
    if kind == "NDJSON":
        return JsonLines(file, how.corrections).samples(columns, _SAMPLED_ROWS, most)

    def opened() -> Table:
        return CsvText(file, count_known, how.delimiter, how.encoding) if kind == "CSV" else Sheet(file)

    table = opened()
    exported = kind == "CSV" and is_export(table.header.cells)
    settle = _Settling(columns, lambda: _from_the_start(file, lambda: corrected(opened().records(), how.corrections)))
    rows = corrected(islice(table.records(), _SAMPLED_ROWS), how.corrections)
    return sample_cells(rows, columns, lambda c: NumberForm(how.locale, exported, partial(settle, c)), most)


class _Settling:
    """Whose way of writing numbers a file shows by those that can mean one thing only: looked for when it is needed.

    A column's own numbers decide, and where it has none those of the others; where they disagree nothing is decided.
    """

    def __init__(self, columns: Sequence[Column], records: Callable[[], Iterator[CsvRecord | RefusedRow]]) -> None:
        self._columns = [column for column in columns if is_numeric(column.target)]
        self._records = records
        self._found: dict[int, set[Locale]] | None = None

    def __call__(self, column: Column) -> Locale | None:
        if self._found is None:
            self._found = self._look()
        own = self._found.get(column.index) or set().union(*self._found.values())
        return next(iter(own)) if len(own) == 1 else None

    def _look(self) -> dict[int, set[Locale]]:
        found: dict[int, set[Locale]] = {column.index: set() for column in self._columns}
        for record in self._records():
            if isinstance(record, CsvRecord):
                for index, said in found.items():
                    if index < len(record.cells) and (locale := evidence(record.cells[index])):
                        said.add(locale)
        return found


def _from_the_start(file: io.BufferedReader[Any], read: Callable[[], Iterator[T]]) -> Iterator[T]:
    """What a file holds from its beginning; it is left where it was."""
    place = file.tell()
    file.seek(0)
    try:
        yield from read()
    finally:
        file.seek(place)


def _closing(copy: io.BufferedReader[Any], rows: Iterator[T]) -> Iterator[T]:
    with copy:
        yield from rows


def _copied(pipe: io.BufferedReader[Any], most: int | None) -> io.BufferedReader[Any]:
    """What can only be read from a place where one can go back: a file without a name."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as its rows are read
    while data := pipe.read(1 << 20):
        if most is not None and copy.tell() + len(data) > most:
            raise UnreadableInput("the workbook is too large for a pipe", hint="give its name instead")
        copy.write(data)
    copy.seek(0)
    return cast("io.BufferedReader[Any]", copy)


def _refuse_options(kind: str, how: Reading, *names: str) -> None:
    """What a saved mapping says of other kinds of files is no mistake."""
    given = [name for name in names if getattr(how, name)]
    if wrong := [name for name in given if getattr(how.saved, name, None) != getattr(how, name)]:
        raise InvalidInput(f"this is {kind}, for which --{wrong[0]} has no effect", hint=f"leave --{wrong[0]} out")
