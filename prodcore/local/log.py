"""Reading the programs' logs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prodcore.local.plan import LocalPlan

_POLL_SECONDS = 0.2
_BLOCK = 65_536
_LONGEST = 300
_EXCEPTION = re.compile(r"[\w.]*(Error|Exception|Exit)\b.*: ")


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a file, at most ``count``; none when there is no file."""
    if count <= 0:
        return []
    try:
        with path.open("rb") as file:
            position = file.seek(0, 2)
            data = b""
            while position > 0 and data.count(b"\n") <= count:
                step = min(_BLOCK, position)
                position -= step
                file.seek(position)
                data = file.read(step) + data
    except FileNotFoundError:
        return []
    return data.decode(errors="replace").splitlines()[-count:]


def follow_lines(paths: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """Lines written from now on, each with the name of its log; without end. Files may appear and be replaced."""
    return _follow(paths, {name: path.stat().st_size if path.exists() else 0 for name, path in paths.items()})


def _follow(paths: Mapping[str, Path], positions: dict[str, int]) -> Iterator[tuple[str, str]]:
    rests = dict.fromkeys(paths, b"")
    while True:
        quiet = True
        for name, path in paths.items():
            positions[name], block = _read_from(path, positions[name])
            *lines, rests[name] = (rests[name] + block).split(b"\n")
            for line in lines:
                quiet = False
                yield name, line.decode(errors="replace")
        if quiet:
            time.sleep(_POLL_SECONDS)


def last_words(plan: LocalPlan, name: str) -> str:
    """What a program that ended said last, for an error message: ``: …`` or nothing."""
    for path in (plan.log(name), plan.directory / "logs" / f"{name}.out"):
        if said := _telling(last_lines(path, 60)):
            return f": {said}"
    return ""


def _telling(lines: Sequence[str]) -> str:
    """The last line that says why: an error entry of mongod's or a service's log, an exception, else any plain line."""
    for line in reversed(lines):
        entry = _entry(line)
        if entry.get("s") in ("E", "F"):
            return f"{entry['msg']} {entry.get('attr', {}).get('error', '')}".strip()[:_LONGEST]
        if entry.get("level") in ("error", "critical"):
            return str(entry.get("event", ""))[:_LONGEST]
        if _EXCEPTION.match(line):
            return line[:_LONGEST]
    plain = [line for line in lines if line.strip() and not _entry(line)]
    return plain[-1].strip()[:_LONGEST] if plain else ""


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _read_from(path: Path, position: int) -> tuple[int, bytes]:
    """What was added after ``position``; a file that became shorter was replaced, and is read from its start."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(position if size >= position else 0)
            block = file.read(_BLOCK)
            return file.tell(), block
    except FileNotFoundError:
        return 0, b""
