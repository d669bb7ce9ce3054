"""What a drill has broken and not yet put back, on disk before it is broken; and the lock against a second drill.

The kernel lets go of the lock when the process ends, however it ends; the journal stays until all is put back. So a
journal without a lock is what a killed drill left behind.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from prodcore.drill.faults import Broken, Fault
from prodcore.errors import DrillRunning
from prodcore.support.secure_files import locked, write_private


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What must be put back."""

    run: str
    """The drill's id; its records carry it."""
    sets: tuple[str, ...]
    """The sets that hold records of the drill."""
    broken: tuple[Broken, ...] = ()


class DrillJournal:
    """The journal and the lock, in one directory of mode 0700. Safe to use from many threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = directory / "journal.json"
        self._writing = threading.Lock()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only drill on this machine inside the block. Raises DrillRunning."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / "lock"
        with ExitStack() as stack:
            try:
                descriptor = stack.enter_context(locked(path, wait=False))
            except BlockingIOError:
                holder = path.read_text(errors="replace").strip()[:32] or "unknown"
                raise DrillRunning(f"another drill is at work (process {holder})", hint="wait for it to end") from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield

    def unfinished(self) -> Unfinished | None:
        """What an earlier drill left behind, or this one has not yet put back."""
        try:
            data = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        broken = tuple(Broken(b["set_name"], b["member"], Fault(b["fault"])) for b in data["broken"])
        return Unfinished(data["run"], tuple(data["sets"]), broken)

    def open(self, run: str, sets: tuple[str, ...]) -> None:
        """Note that the drill will leave records in these sets until it is done."""
        self._store(Unfinished(run, sets))

    def breaking(self, broken: Broken) -> None:
        """Note a fault before it is done."""
        with self._writing:
            current = self._required()
            self._store(replace(current, broken=(*current.broken, broken)))

    def mended(self, broken: Broken) -> None:
        """Note that a fault is undone."""
        with self._writing:
            current = self._required()
            self._store(replace(current, broken=tuple(b for b in current.broken if b != broken)))

    def close(self) -> None:
        """All is put back."""
        self._file.unlink(missing_ok=True)

    def _required(self) -> Unfinished:
        current = self.unfinished()
        if current is None:
            raise RuntimeError("the journal is not open")
        return current

    def _store(self, unfinished: Unfinished) -> None:
        write_private(self._file, json.dumps(asdict(unfinished)))
