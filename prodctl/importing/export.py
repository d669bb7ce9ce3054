"""An export: pages of the REST API into a file that appears when it is whole."""

from __future__ import annotations

import codecs
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from prodcore.errors import InvalidInput
from prodcore.tabular.export import XlsxBook, as_csv, as_ndjson, csv_head
from prodctl.client.api import ApiClient
from prodctl.client.products import Lacks, ListPage, Product, pages


@dataclass(frozen=True, slots=True)
class Exported:
    """How many products were written, and what may be missing or out of date."""

    products: int
    lacks: Lacks


def export_to(
    file: Path,
    kind: str,
    client: ApiClient,
    query: Mapping[str, Any],
    *,
    force: bool,
    bom: bool = False,
    raw: bool = False,
) -> Exported:
    """Write every product of ``query`` to ``file`` (``-`` for stdout).

    Raises InvalidInput for a file that is there and is not to be written over, or cannot be written.
    """
    counted = _Counted(pages(client, query))
    with _aside(file, force) as target:
        write_products(kind, counted, target, bom=bom, raw=raw)
    return Exported(counted.products, counted.lacks)


class _Counted:
    """Pages, counted while they pass."""

    def __init__(self, source: Iterator[ListPage]) -> None:
        self._source = source
        self.products = 0
        self.lacks = Lacks()

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        for page in self._source:
            self.products += len(page.items)
            self.lacks.add(page)
            yield page.items


def write_products(
    kind: str, products: Iterable[list[Product]], target: IO[bytes], *, bom: bool = False, raw: bool = False
) -> None:
    """Write products as csv, ndjson or xlsx.

    With ``bom`` CSV begins with the mark by which Excel knows UTF-8; with ``raw`` its formulas are not marked.
    """
    if kind == "xlsx":
        book = XlsxBook()
        for rows in products:
            book.add(rows)
        book.save(target)
        return
    write = partial(as_csv, raw=raw) if kind == "csv" else as_ndjson
    if kind == "csv":
        target.write((codecs.BOM_UTF8 if bom else b"") + csv_head())
    for rows in products:
        target.write(write(rows))


@contextmanager
def _aside(file: Path, force: bool) -> Iterator[IO[bytes]]:
    """A file to write to that becomes ``file`` when all went well, and is gone when not."""
    if str(file) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    file = file.resolve()  # of a link, what it leads to
    if file.exists() and not file.is_file():
        raise InvalidInput(f"{file} is not a file", hint="- writes to stdout")
    if file.exists() and not force:
        raise InvalidInput(f"{file} already exists", hint="--force overwrites it")
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as target:
            yield target
            target.flush()
            os.fsync(target.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(file)
    except KeyboardInterrupt as interruption:
        interruption.add_note(f"Nothing was written: {file} is as it was. The same command begins again.")
        raise
    except OSError as error:
        raise InvalidInput(f"{file} cannot be written: {error.strerror}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
