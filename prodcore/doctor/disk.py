"""Is there room left?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prodcore.doctor.check import Check, State

GROUP = "disk"

_LITTLE = 1_000_000_000
_TIGHT = 5_000_000_000
_FIX = "make room, or move the data: a mongod stops when its disk is full"


def judge_free(free_bytes: Mapping[str, int]) -> Iterator[Check]:
    """Free bytes by place. Below 1 GB is a problem, below 5 GB a warning."""
    for place, free in free_bytes.items():
        if free < _TIGHT:
            state = State.PROBLEM if free < _LITTLE else State.WARNING
            yield Check(GROUP, place, state, f"{free / 1e9:.1f} GB free", _FIX)
    if free_bytes:
        least = min(free_bytes, key=lambda place: free_bytes[place])
        text = f"{free_bytes[least] / 1e9:.1f} GB free at least ({least})"
        yield Check(GROUP, "free", State.OK, text)
