"""Do the clocks agree? Tokens end by the clock, and MongoDB's times are compared between members."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from prodcore.doctor.check import Check, State

GROUP = "clocks"

CLOSE_SECONDS = 2.0
"""A ``Date`` header has whole seconds, so less than this says nothing."""
LEEWAY_SECONDS = 30.0
"""What tokens forgive."""
_FIX = "a time service on both machines: systemd-timesyncd or chrony"


def date_offset(header: str, asked: datetime, answered: datetime) -> float | None:
    """By how many seconds the clock behind a ``Date`` header is ahead of ours; None for a header that is no date."""
    try:
        told = parsedate_to_datetime(header)
    except ValueError:
        return None
    middle = asked + (answered - asked) / 2
    return (told - middle).total_seconds() + 0.5  # the header cuts half a second off, on average


def judge_offsets(offsets: Mapping[str, float]) -> Iterator[Check]:
    """Each clock against this machine's."""
    for name, seconds in offsets.items():
        if abs(seconds) > CLOSE_SECONDS:
            state = State.PROBLEM if abs(seconds) > LEEWAY_SECONDS else State.WARNING
            way = "ahead of" if seconds > 0 else "behind"
            yield Check(GROUP, name, state, f"its clock is {abs(seconds):.0f} s {way} this machine's", _FIX)
    if offsets:
        widest = max(offsets.values()) - min(offsets.values())
        apart = "less than a second" if widest < 1 else f"{widest:.0f} s"
        yield Check(GROUP, "clocks", State.OK, f"{len(offsets)} asked, at most {apart} apart")
