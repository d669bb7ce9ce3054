"""The files that differ, line by line. Secrets are masked."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from prodcore.deploy.seen import Seen
from prodcore.deploy.spec import File, HostWish

MASK = "(secret)\n"


def differences(wishes: Mapping[str, HostWish], seen: Seen) -> Iterator[str]:
    """A unified diff, from what is there to what is wanted, of each file that is not as wanted."""
    for name, wish in wishes.items():
        for file in wish.files:
            entry = seen.inside(name).entry("files", file.path)
            if entry is None or entry["sha256"] != file.sha256:
                there = seen.inside(name).content(file.path) if entry else None
                yield "".join(_diff(f"{name}{file.path}", there, file))


def _diff(path: str, there: bytes | None, wanted: File) -> Iterator[str]:
    if wanted.is_secret:
        before, after = ([] if there is None else ["(another secret)\n"]), [MASK]
    else:
        before, after = _lines(there or b""), _lines(wanted.content)
    source = "/dev/null" if there is None else f"a/{path}"
    yield from difflib.unified_diff(before, after, source, f"b/{path}")


def _lines(content: bytes) -> list[str]:
    """Lines that all end with a newline, so that a diff of them does."""
    return [f"{line}\n" for line in content.decode(errors="replace").splitlines()]
