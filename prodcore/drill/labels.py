"""Where the texts of a picture stand, so that none is over another one, and where its axes end. Pure.

Everything is in units of the picture, one of which is a pixel where it has its own width; texts are 12 high.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

APART = 6.0
"""The space that a text keeps to others, half of it on each side."""

_LETTER, _BROAD_LETTER = 6.6, 9.5


@dataclass(frozen=True, slots=True)
class Label:
    """A text and what it names, from ``left`` to ``right``: a band, or a line where they are the same."""

    text: str
    left: float
    right: float
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a label stands: its left end, and its row, counted from what it names."""

    label: Label
    text: str
    x: float
    width: float
    row: int

    def covers(self, x: float) -> bool:
        """Whether a line at ``x`` would go through the text."""
        return self.x <= x <= self.x + self.width

    def meets(self, other: Placed) -> bool:
        """Whether two texts overlap, or touch."""
        return self.row == other.row and self.x < other.x + other.width and other.x < self.x + self.width


def text_width(text: str) -> float:
    """How wide a text is at the most, with the space that it keeps to others."""
    return APART + sum(_BROAD_LETTER if c in "mwMW%@→—" or c.isupper() else _LETTER for c in text)


def place(labels: Iterable[Label], width: float, rows: int) -> tuple[Placed, ...]:
    """A place for each label, so that no two overlap and none leaves the picture.

    Labels of one weight are left out together while there is no room for all, the lightest first; of the heaviest ones
    those are left out that find none.
    """
    wanted = list(labels)
    while True:
        placed = _place_all(wanted, width, rows)
        weights = sorted({label.weight for label in wanted})
        if len(placed) == len(wanted) or len(weights) < 2:
            return placed
        wanted = [label for label in wanted if label.weight > weights[0]]


def _place_all(labels: Sequence[Label], width: float, rows: int) -> tuple[Placed, ...]:
    """From right to left, each where the fewest lines go through texts, then where it likes, in the nearest row."""
    placed: list[Placed] = []
    left = sorted(labels, key=lambda one: (one.left, one.right))
    while left:
        label = left.pop()
        text, size = _fitting(label.text, width)
        found = [Placed(label, text, x, size, row) for x in _beside(label, size, width) for row in range(rows)]
        free = [one for one in found if not any(one.meets(other) for other in placed)]
        if free:
            placed.append(min(free, key=lambda one: _crossings(one, placed) + sum(one.covers(o.left) for o in left)))
    return tuple(placed)


def _fitting(text: str, width: float) -> tuple[str, float]:
    """The text, shortened where it is wider than the whole picture."""
    while text_width(text) > width and len(text) > 1:
        text = text.rstrip("…")[:-1] + "…"
    return text, min(text_width(text), width)


def _beside(label: Label, size: float, width: float) -> Iterator[float]:
    """The places that a label likes, the best first: within its band, right, left; else as near as can be."""
    middle = (label.left + label.right - size) / 2
    likes = [label.right + 1, label.left - size - 1]
    if size <= label.right - label.left:
        likes.insert(0, middle)
    inside = [x for x in likes if 0 <= x <= width - size]
    yield from inside or [max(0.0, min(width - size, middle))]


def _crossings(one: Placed, others: Iterable[Placed]) -> int:
    """How many lines from a label's row down to the picture go through another label's text."""
    return sum(
        (other.row > one.row and one.covers(other.label.left)) or (one.row > other.row and other.covers(one.label.left))
        for other in others
    )


def round_top(value: float) -> float:
    """The next number that an axis can end at.

    >>> [round_top(v) for v in (0, 0.013, 48, 50, 51, 1.05)]
    [1.0, 0.02, 50.0, 50.0, 100.0, 2.0]
    """
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(round(n * power, 9) for n in (1, 2, 5, 10) if value <= n * power * 1.000001)
