"""How far an import has come, in a small file: the same command again goes on, under the same import id.

A line for the import, then one for each batch that is settled with all before it. A kill may lose the last lines or
half of one: those batches are sent again, and rows that are sent twice are the same creations.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any
from uuid import UUID, uuid4, uuid5

from prodcore.errors import Conflict
from prodcore.support.secure_files import make_private_directory
from prodcore.tabular.report import CellProblem, ImportReport, RefusedRow
from prodcore.tabular.source import Reading

_COUNTED = ("created", "changed", "unchanged")


@dataclass(slots=True)
class Journal:
    """Of one import. Without a ``file`` it only makes ids: nothing can go on where the input cannot be read again."""

    import_id: UUID = field(default_factory=uuid4)
    line: int = 0
    """All rows up to this line of the import's file are settled."""
    counts: dict[str, int] = field(default_factory=dict)
    file: IO[bytes] | None = None

    def product_id(self, line: int) -> UUID:
        """The id of the product that a line creates: the same one in every run."""
        return uuid5(self.import_id, str(line))

    def restore(self, report: ImportReport) -> Iterator[RefusedRow]:
        """Account for the rows that an earlier run has settled; the refused ones come one by one."""
        for name, count in self.counts.items():
            setattr(report, name, count)
        if self.file:
            self.file.seek(0)
            for text in self.file:
                yield from map(_refused_row, json.loads(text).get("refused", ()))

    def settled(self, line: int, report: ImportReport, refused: Sequence[RefusedRow]) -> None:
        """Note that all rows up to ``line`` are settled; ``refused`` are those of them since the last note."""
        self.line = line
        if self.file:
            counts = {name: getattr(report, name) for name in _COUNTED}
            self._write({"line": line, "counts": counts, "refused": [asdict(row) for row in refused]})

    def done(self) -> None:
        """Every row is settled: the same command again is another import."""
        if self.file:
            self.file.truncate(0)

    def _write(self, entry: dict[str, Any]) -> None:
        assert self.file is not None  # noqa: S101  for the type checker
        self.file.write(json.dumps(entry).encode() + b"\n")
        self.file.flush()

    def _read(self) -> None:
        """Take up what an earlier run has noted, and begin the file where there is nothing."""
        assert self.file is not None  # noqa: S101  for the type checker
        good = 0
        for text in self.file:
            try:
                entry = json.loads(text)
            except ValueError:  # half a line, the last one
                break
            good += len(text)
            if "import" in entry:
                self.import_id = UUID(entry["import"])
            else:
                self.line, self.counts = entry["line"], entry["counts"]
        self.file.seek(good)
        self.file.truncate()
        if not good:
            self._write({"import": str(self.import_id)})


@contextmanager
def journal_of(state_dir: Path, content: IO[bytes], reading: Reading, url: str) -> Iterator[Journal]:
    """The journal for importing this content, read in this way, into this catalogue; the content is read once for it.

    Raises Conflict while another process imports the same.
    """
    digest = hashlib.file_digest(content, "sha256")  # type: ignore[arg-type]  # a buffered reader is enough
    content.seek(0)
    digest.update(repr((reading, url)).encode("utf-8", "surrogatepass"))
    directory = state_dir / "imports"
    make_private_directory(directory)
    path = directory / f"{digest.hexdigest()[:32]}.ndjson"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("another prodctl is importing this very file", hint="wait until it is done") from None
        journal = Journal(file=file)
        journal._read()
        yield journal
        if not file.seek(0, os.SEEK_END):
            path.unlink(missing_ok=True)


def _refused_row(entry: dict[str, Any]) -> RefusedRow:
    return RefusedRow(entry["line"], tuple(CellProblem(**p) for p in entry["problems"]), entry["cells"])
