"""A CSV file between the steps of an import: it travels with the forms, so that no worker has to remember anything.

Before anything is stored the file itself travels, afterwards the rows that are still to be stored.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from prodcore.catalog.import_columns import Column, count_known, map_columns
from prodcore.catalog.import_report import RefusedRow
from prodcore.catalog.import_rows import RepeatedRow, Row, read_rows, without_repeats
from prodcore.catalog.import_seen import Seen
from prodcore.catalog.import_text import CsvText
from prodcore.errors import InvalidInput
from prodcore.product import ProductDraft, validate

MAX_FILE_BYTES = 3_000_000
_MAX_PACKED_BYTES = 1_000_000
_REQUIRED = ("name", "price")

Pending = list[tuple[int, dict[str, Any]]]
"""Rows to store: line and fields."""


@dataclass(frozen=True, slots=True)
class Upload:
    """The file's bytes, how its numbers are written, and which column gives what where that was chosen."""

    content: bytes
    numbers: Literal["es", "en"]
    chosen: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def received(cls, content: bytes, numbers: str) -> Upload:
        """A file as it was dropped. Raises RequestEntityTooLarge."""
        upload = cls(content, _numbers(numbers))
        if len(content) > MAX_FILE_BYTES or len(upload.packed()) > _MAX_PACKED_BYTES:
            raise RequestEntityTooLarge
        return upload

    @classmethod
    def unpacked(cls, form: Mapping[str, str]) -> Upload:
        """The file as a form brings it back. Raises BadRequest."""
        chosen = {key.removeprefix("column:"): v for key, v in form.items() if key.startswith("column:")}
        return cls(_unpack(form.get("file", "")), _numbers(form.get("numbers", "")), chosen)

    def packed(self) -> str:
        """The file as a form carries it."""
        return _pack(self.content)

    def read(self) -> Reading:
        """Judge every row. Raises UnreadableInput, InvalidInput for a file or a choice of columns that cannot be."""
        text = CsvText(io.BufferedReader(io.BytesIO(self.content)), count_known)
        columns = map_columns(text.header.cells, self.chosen, _REQUIRED)
        reading = Reading(columns)
        with Seen() as seen:
            for row in without_repeats(read_rows(text.records(), columns, self.numbers, _REQUIRED), seen):
                reading.take(row)
        return reading


@dataclass(slots=True)
class Reading:
    """Every row of a file: to be stored, refused, or said before."""

    columns: tuple[Column, ...]
    good: Pending = field(default_factory=list)
    refused: list[RefusedRow] = field(default_factory=list)
    repeated: int = 0

    def take(self, row: Row | RefusedRow | RepeatedRow) -> None:
        """Put one row where it belongs; the product's own rules have their say too."""
        if isinstance(row, RepeatedRow):
            self.repeated += 1
        elif isinstance(row, RefusedRow):
            self.refused.append(row)
        else:
            try:
                validate(ProductDraft, row.fields)
                self.good.append((row.line, row.fields))
            except InvalidInput as error:
                problems = tuple(row.problem(p.field, p.code, p.message) for p in error.problems)
                self.refused.append(row.refusal(*problems))


def pack_pending(rows: Pending) -> str:
    """The rows that are still to be stored, as a form carries them."""
    return _pack(json.dumps(rows).encode())


def unpack_pending(text: str) -> Pending:
    """The rows as a form brings them back; not to be trusted. Raises BadRequest."""
    try:
        return [(int(line), dict(fields)) for line, fields in json.loads(_unpack(text))]
    except (ValueError, TypeError, RecursionError):
        raise BadRequest from None


def _pack(content: bytes) -> str:
    return base64.urlsafe_b64encode(gzip.compress(content, 6, mtime=0)).decode()


def _unpack(text: str) -> bytes:
    """Raises BadRequest; what would unfold to more than any file may have is refused, not unfolded."""
    most = 4 * MAX_FILE_BYTES
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(base64.urlsafe_b64decode(text))) as file:
            content = file.read(most + 1)
    except (binascii.Error, ValueError, OSError, EOFError, zlib.error):
        raise BadRequest from None
    if len(content) > most:
        raise BadRequest
    return content


def _numbers(text: str) -> Literal["es", "en"]:
    return cast("Literal['es', 'en']", text) if text in ("es", "en") else "es"
