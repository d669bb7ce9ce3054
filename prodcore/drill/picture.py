"""A drill as a picture: SVG text from a report, or from a drill that runs. Pure.

From top to bottom: the names of what happened, the time from the fault to the first write after it, responses a second
and the slowest response of writes and of reads, and the axis of time that all share. Gaps are shaded, with their
length in them. Two drills can lie over each other, both counted from their fault.

It is drawn at two widths, of which the style sheet shows the one that fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from itertools import groupby
from typing import Any

from prodcore.drill.labels import APART, Label, Placed, place, round_top, text_width
from prodcore.drill.ledger import streams

WIDE, NARROW = 960, 360
_RIGHT = 28
_LINE = 16
_RATE_HEIGHT, _SLOWEST_HEIGHT, _BETWEEN = 64, 40, 8
_EVENT_ROWS, _GAP_ROWS = 6, 3
_TICKS_APART = 64
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
MOST_BINS = {WIDE: 120, NARROW: 60}
_WEIGHTS = {"fault": 5, "new primary": 4, "first acknowledged write": 3, "old member back": 2, "caught up": 1}
"""The events that a picture names; where there is no room for all, the lightest are left out."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a picture says, in the reader's language."""

    steps: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(
        default_factory=lambda: {
            "writes": "Writes per second",
            "reads": "Reads per second",
            "all": "Responses per second",
            "slowest writes": "Slowest write",
            "slowest reads": "Slowest read",
            "slowest all": "Slowest response",
        }
    )
    until_write: str = "fault to first write: {}"
    seconds: Callable[[float], str] = "{:.3g} s".format
    number: Callable[[float], str] = "{:g}".format

    def describe(self, one: Bin) -> str:
        """A stretch of time in a line."""
        told = [self.seconds(one.at)]
        for name, rate in one.rates.items():
            slowest = one.slowest[name]
            told.append(f"{self.titles[name]} {self.number(round(rate, 1))}")
            told += [] if slowest is None else [f"{self.titles[f'slowest {name}']} {self.seconds(slowest)}"]
        return " · ".join(told)


@dataclass(frozen=True, slots=True)
class Layer:
    """One drill on one set, its times in seconds from ``zero``, which counts from its begin."""

    series: Mapping[str, Any]
    events: Sequence[tuple[float, str]]
    """When, from the drill's begin, and what; in their order."""
    name: str = ""
    """``A`` or ``B`` where two lie over each other."""
    zero: float = 0.0
    until: float = math.inf
    """What began later, counted from the drill's begin, is left out."""

    @property
    def end(self) -> float:
        """The end of the load, or of a gap that goes on."""
        found = streams(self.series)
        load = max(len(of["acknowledged"]) for of in found.values()) * self.series["point_seconds"]
        load = min(load, self.until) - self.zero
        return float(max([load, *(at + seconds for name in found for at, seconds in self.gaps(name))]))

    def marks(self) -> list[tuple[float, str]]:
        """When, and what: the events that are drawn."""
        return [(at - self.zero, event) for at, event in self.events if event in _WEIGHTS and at < self.until]

    def around_fault(self) -> Layer:
        """The first round alone, counted from its fault."""
        faults = [at for at, event in self.events if event == "fault"]
        return replace(self, zero=faults[0] if faults else 0.0, until=faults[1] if len(faults) > 1 else math.inf)

    def gaps(self, stream: str) -> list[tuple[float, float]]:
        """When each gap began, and its length."""
        gaps = streams(self.series).get(stream, {}).get("gaps", ())
        return [(gap["at"] - self.zero, gap["seconds"]) for gap in gaps if gap["at"] < self.until]

    def until_write(self) -> list[tuple[float, float]]:
        """From each fault to the first write that was acknowledged after the election that it caused."""
        found, fault = [], None
        for at, event in self.marks():
            if event == "fault":
                fault = at
            elif event == "first acknowledged write" and fault is not None:
                found.append((fault, at))
                fault = None
        return found


@dataclass(frozen=True, slots=True)
class Bin:
    """What ended in one stretch of time: by stream, how many a second, how many failed, and the slowest in seconds."""

    at: float
    seconds: float
    rates: Mapping[str, float]
    failed: Mapping[str, int]
    slowest: Mapping[str, float | None]


def bins(layer: Layer, most: int) -> list[Bin]:
    """The load in so many stretches of equal length at the most, as the picture shows it."""
    width, found = layer.series["point_seconds"], streams(layer.series)
    count = min(max(len(of["acknowledged"]) for of in found.values()), math.ceil(min(layer.until, 1e9) / width))
    step = max(1, -(-count // most))

    def slowest(values: Sequence[float | None]) -> float | None:
        return max((v for v in values if v is not None), default=None)

    return [
        Bin(
            start * width - layer.zero,
            (stop - start) * width,
            {name: sum(of["acknowledged"][start:stop]) / ((stop - start) * width) for name, of in found.items()},
            {name: sum(of["failed"][start:stop]) for name, of in found.items()},
            {name: slowest(of["max_latency_seconds"][start:stop]) for name, of in found.items()},
        )
        for start in range(0, count, step)
        for stop in [min(start + step, count)]
    ]


@dataclass(frozen=True, slots=True)
class _Axis:
    """The time that a picture shows, on its width."""

    left: float
    width: float
    begin: float
    end: float

    def x(self, at: float) -> float:
        """Where a time lies, from the left end of the axis."""
        share = (at - self.begin) / (self.end - self.begin)
        return round(min(1.0, max(0.0, share)) * self.width, 1)

    def shows(self, at: float) -> bool:
        """Whether a time is on it."""
        return self.begin <= at <= self.end

    def ticks(self) -> list[float]:
        """Times at equal, round distances."""
        length = self.end - self.begin
        step = next((s for s in _STEPS if length / s <= self.width / _TICKS_APART), _STEPS[-1])
        first, last = math.ceil(self.begin / step - 1e-9), math.floor(self.end / step + 1e-9)
        return [round(n * step, 3) for n in range(first, last + 1)]


def draw(layers: Sequence[Layer], words: Words, width: int, title: str, *, readable: bool = True) -> str:
    """The picture, ``title`` being what it says to those who do not see it; two layers are drawn around their fault.

    ``readable`` ones tell their values below the pointer, and to the arrow keys where a script runs.
    """
    if len(layers) > 1:
        layers = [layer.around_fault() for layer in layers]
        begin, end = -min(3.0, *(layer.zero for layer in layers)), max(layer.end for layer in layers)
    else:
        begin, end = 0.0, layers[0].end
    margin = 62 if width >= WIDE else 58
    axis = _Axis(margin, width - margin - _RIGHT, begin, max(end, begin + 1.0))
    return _Drawing(axis, words, layers, width).svg(title, readable=readable)


@dataclass(frozen=True, slots=True)
class _Scale:
    """The values beside a part, in so many equal steps."""

    top: float
    ticks: int
    show: Callable[[float], str]


class _Drawing:
    """Puts the parts below each other; ``_y`` is where the next one begins."""

    def __init__(self, axis: _Axis, words: Words, layers: Sequence[Layer], width: int) -> None:
        self._axis = axis
        self._words = words
        self._layers = layers
        self._width = width
        self._bins = [bins(layer, MOST_BINS[width]) for layer in layers]
        self._y = 0
        self._back: list[str] = []
        self._front: list[str] = []

    def svg(self, title: str, *, readable: bool) -> str:
        """The whole of it."""
        lines = self._events()
        self._dimensions()
        top = self._y
        for stream in dict.fromkeys(name for layer in self._layers for name in streams(layer.series)):
            self._rates(stream)
            self._slowest(stream)
        floor = self._y - _BETWEEN
        for at in self._axis.ticks():
            self._text("scale", self._axis.x(at), floor + 18, f"{self._words.number(at)} s", "middle")
        down = "".join(f'<path class="event {kind}" d="M{x} {y}V{floor}"/>' for x, y, kind in lines)
        spots = "".join(self._spots(top, floor)) if readable else ""
        kind = "wide" if self._width >= WIDE else "narrow"
        reading = ' data-reading=""' if readable else ""
        return (
            f'<svg class="drill-picture picture-{kind}" viewBox="{-self._axis.left} 0 {self._width} {floor + 24}" '
            f'role="img" aria-label="{escape(title)}"{reading}>'
            f"{''.join(self._back)}{down}{''.join(self._front)}{spots}</svg>"
        )

    def _text(self, kind: str, x: float, y: float, text: str, anchor: str = "start") -> None:
        where = f'x="{round(x, 1)}" y="{round(y, 1)}" text-anchor="{anchor}"'
        self._front.append(f'<text class="{kind}" {where}>{escape(text)}</text>')

    def _labels(self, kind: str, labels: Sequence[Label], rows: int) -> tuple[Placed, ...]:
        """Write them from here on, row 0 at the bottom, and go on below."""
        placed = place(labels, self._axis.width, rows)
        self._y += _LINE * max((one.row + 1 for one in placed), default=0)
        for one in placed:
            self._text(kind, one.x + APART / 2, self._y - one.row * _LINE - 4, one.text)
        return placed

    def _events(self) -> list[tuple[float, int, str]]:
        """Name what happened; where the line of each begins, and its class."""
        labels: dict[Label, Layer] = {}
        for layer in self._layers:
            for at, event in layer.marks():
                word, x = str(self._words.steps.get(event, event)), self._axis.x(at)
                text = word if event == "fault" else _of(layer, word)
                if self._axis.shows(at):
                    labels.setdefault(Label(text, x, x, _WEIGHTS[event]), layer)
        placed = {one.label: one for one in self._labels("event-name", list(labels), _EVENT_ROWS)}
        below = self._y
        self._y += 4
        return [
            (label.left, below - placed[label].row * _LINE - 2 if label in placed else below, _kind(layer))
            for label, layer in labels.items()
        ]

    def _dimensions(self) -> None:
        """The time from each fault to the first write after it."""
        for layer in self._layers:
            spans = [span for span in layer.until_write() if all(map(self._axis.shows, span))]
            labels = []
            for fault, write in spans:
                length = self._words.seconds(write - fault)
                text = _of(layer, self._words.until_write.format(length))
                if len(spans) > 1 or text_width(text) > self._axis.width:
                    text = _of(layer, length)
                labels.append(Label(text, self._axis.x(fault), self._axis.x(write)))
            self._labels("dimension-name", labels, _GAP_ROWS)
            self._y += 12 if labels else 0
            self._back += [_dimension(one.left, one.right, self._y - 8, _kind(layer)) for one in labels]

    def _panel(self, title: str, gaps: Sequence[Label], height: int, scale: _Scale) -> tuple[int, int]:
        """A part with its title and its scale, room for the names of gaps above; where it begins and its floor."""
        self._text("panel-name", 0, self._y + 12, title)
        self._y += _LINE
        ceiling = self._y
        self._labels("gap-name", gaps, _GAP_ROWS)
        self._y += height
        floor = self._y
        for n in range(scale.ticks + 1):
            y = floor - height * n // scale.ticks
            self._back.append(f'<path class="{"grid" if n else "axis"}" d="M0 {y}H{self._axis.width}"/>')
            self._text("scale", -6, y + 4, scale.show(scale.top * n / scale.ticks), "end")
        self._y += _BETWEEN
        return ceiling, floor

    def _rates(self, stream: str) -> None:
        """Responses a second, and the gaps with their lengths."""
        words = self._words
        labels = [
            Label(_of(layer, words.seconds(seconds)), self._axis.x(at), self._axis.x(at + seconds))
            for layer, at, seconds in self._gaps(stream)
        ]
        top = round_top(max((b.rates.get(stream, 0.0) for found in self._bins for b in found), default=0.0))
        scale = _Scale(top, 2, lambda value: words.number(round(value, 2)))
        ceiling, floor = self._panel(words.titles[stream], labels, _RATE_HEIGHT, scale)
        self._shades(stream, ceiling, floor)
        for layer, found in self._drawn(stream):
            points = [(self._axis.x(b.at), self._axis.x(b.at + b.seconds), b.rates[stream]) for b in found]
            steps = "".join(f"V{round(floor - rate / top * _RATE_HEIGHT, 1)}H{right}" for _x, right, rate in points)
            kind = f"rate of-{stream} {_kind(layer)}"
            self._back.append(f'<path class="{kind}" d="M{points[0][0]} {floor}{steps}V{floor}"/>')
            failed = "".join(f"M{self._axis.x(b.at)} {floor}v5" for b in found if b.failed[stream])
            self._back.append(f'<path class="fail" d="{failed}"/>' if failed else "")

    def _slowest(self, stream: str) -> None:
        """The slowest response; the line is broken where nothing was answered."""
        top = round_top(max((b.slowest.get(stream) or 0.0 for found in self._bins for b in found), default=0.0))
        title = self._words.titles[f"slowest {stream}"]
        ceiling, floor = self._panel(title, (), _SLOWEST_HEIGHT, _Scale(top, 1, self._words.seconds))
        self._shades(stream, ceiling, floor)
        for layer, found in self._drawn(stream):
            for is_known, piece in groupby(found, key=lambda b: b.slowest[stream] is not None):
                heights = [(b.at + b.seconds / 2, (b.slowest[stream] or 0) / top * _SLOWEST_HEIGHT) for b in piece]
                points = [f"{self._axis.x(middle)},{floor - height:.1f}" for middle, height in heights]
                kind, line = f"curve of-{stream} {_kind(layer)}", " ".join(points if len(points) > 1 else points * 2)
                self._back.append(f'<polyline class="{kind}" points="{line}"/>' if is_known else "")

    def _drawn(self, stream: str) -> Iterator[tuple[Layer, list[Bin]]]:
        """Each layer that has the stream, and what of it is on the axis."""
        for layer, found in zip(self._layers, self._bins, strict=True):
            if shown := [b for b in found if stream in b.rates and self._axis.shows(b.at + b.seconds / 2)]:
                yield layer, shown

    def _shades(self, stream: str, ceiling: int, floor: int) -> None:
        for layer, at, seconds in self._gaps(stream):
            left, right = self._axis.x(at), self._axis.x(at + seconds)
            size = f'x="{left}" y="{ceiling}" width="{max(1.5, round(right - left, 1))}" height="{floor - ceiling}"'
            self._back.append(f'<rect class="gap {_kind(layer)}" {size}/>')

    def _gaps(self, stream: str) -> Iterator[tuple[Layer, float, float]]:
        for layer in self._layers:
            for at, seconds in layer.gaps(stream):
                if self._axis.shows(at):
                    yield layer, at, seconds

    def _spots(self, ceiling: int, floor: int) -> Iterator[str]:
        """What is said at each place; where two drills are compared, at the places of the longer one."""
        longest = max(self._bins, key=lambda found: found[-1].at if found else 0.0)
        for one in (b for b in longest if self._axis.shows(b.at + b.seconds / 2)):
            near = [next((b for b in found if b.at + b.seconds > one.at), None) for found in self._bins]
            told = [
                _of(layer, self._words.describe(b))
                for layer, b in zip(self._layers, near, strict=True)
                if b is not None
            ]
            left, right = self._axis.x(one.at), self._axis.x(one.at + one.seconds)
            size = f'x="{left}" y="{ceiling}" width="{round(right - left, 1)}" height="{floor - ceiling}"'
            yield f'<rect class="spot" {size}><title>{escape(" – ".join(told))}</title></rect>'


def _of(layer: Layer, text: str) -> str:
    """A text of one of two drills."""
    return f"{layer.name}: {text}" if layer.name else text


def _kind(layer: Layer) -> str:
    """How the style sheet knows a drill from the other one."""
    return f"layer-{layer.name.lower() or 'a'}"


def _dimension(left: float, right: float, y: float, kind: str) -> str:
    """A line with ends between two times, and arrows where there is room for them."""
    arrows = f"M{left + 5} {y - 3}L{left} {y}l5 3M{right - 5} {y - 3}L{right} {y}l-5 3" if right - left > 14 else ""
    return f'<path class="dimension {kind}" d="M{left} {y - 5}v10M{right} {y - 5}v10M{left} {y}H{right}{arrows}"/>'
