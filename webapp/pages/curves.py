"""The cluster's last hour, day and month as curves: drawn here as shapes, with the table behind them.

A figure is as many units wide as it has stretches of time, and 100 high; the page stretches it to its place. The axis
counts back from now, so that it is true in every zone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from apiflask import APIBlueprint
from babel.dates import format_timedelta
from flask import render_template, request
from flask_babel import gettext, lazy_gettext

from prodcore.catalog.imports import recent_imports
from prodcore.catalog.stores import ImportRecord
from prodcore.replicaset.curves import DAY, RESOLUTIONS, Point, Resolution, SetPoint
from prodcore.replicaset.status import PRIMARY
from prodcore.sharding.mover import MoveOrder
from webapp.live import answers_to, current_catalog, current_desk
from webapp.pages.labels import ALL
from webapp.pages.language import current_language, show_moment, show_number, show_seconds

blueprint = APIBlueprint("curves", __name__, enable_openapi=False)

HEIGHT = 100
_LABELS = 4
_MARKED = 50
SPANS = {"hour": lazy_gettext("Last hour"), "day": lazy_gettext("Last 24 hours"), "month": lazy_gettext("Last 30 days")}

_ROLE_CLASSES = {"PRIMARY": "primary", "SECONDARY": "secondary", "DOWN": "down", "UNRESPONSIVE": "down"}


@dataclass(frozen=True, slots=True)
class Measure:
    """What a curve shows of a set."""

    name: str
    label: Any
    of: Callable[[SetPoint], float | None]
    show: Callable[[float], str]


def _per_second(value: float) -> str:
    return f"{show_number(round(value, 1))}/s"


def _millis(value: float) -> str:
    return f"{show_number(round(value, 2))} ms"


def _whole(value: float) -> str:
    return show_number(round(value))


LAG = Measure("lag", lazy_gettext("Lag"), lambda p: p.lag_seconds, show_seconds)
READS = Measure("reads", lazy_gettext("Reads"), lambda p: p.reads_per_second, _per_second)
WRITES = Measure("writes", lazy_gettext("Writes"), lambda p: p.writes_per_second, _per_second)
READ_MS = Measure("read-ms", lazy_gettext("Answer to a read"), lambda p: p.read_ms, _millis)
WRITE_MS = Measure("write-ms", lazy_gettext("Answer to a write"), lambda p: p.write_ms, _millis)
PRODUCTS = Measure("products", lazy_gettext("Products"), lambda p: p.products, _whole)
CHARTS: tuple[tuple[Any, tuple[Measure, ...], float], ...] = (
    (lazy_gettext("Replication lag"), (LAG,), 1.0),
    (lazy_gettext("Operations per second"), (READS, WRITES), 1.0),
    (lazy_gettext("Answer times"), (READ_MS, WRITE_MS), 1.0),
)
"""The charts of a set: title, what they show, and the least value that the top of the scale stands for."""
MEASURES = (LAG, READS, WRITES, READ_MS, WRITE_MS)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch in which a member had one role."""

    x: int
    width: int
    role: str

    @property
    def kind(self) -> str:
        """How it is coloured."""
        return _ROLE_CLASSES.get(self.role, "other")


@dataclass(frozen=True, slots=True)
class Line:
    """A curve: a polyline for each stretch without a gap."""

    name: str
    label: Any
    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves over one scale, and what is said at each place."""

    title: Any
    top: str
    lines: tuple[Line, ...]
    spots: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: at a place, for so wide."""

    at: datetime
    x: float
    width: float
    kind: str
    sets: tuple[str, ...]
    text: str
    by: str
    href: str


@dataclass(frozen=True, slots=True)
class Row:
    """One stretch of time in the table."""

    at: datetime
    primary: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """Everything about one set."""

    name: str
    bands: tuple[tuple[str, tuple[Segment, ...]], ...]
    charts: tuple[Chart, ...]
    events: tuple[Event, ...]
    rows: tuple[Row, ...]


class Axis:
    """The stretches of time from the oldest to the last one that is complete."""

    def __init__(self, resolution: Resolution, now: datetime) -> None:
        self.resolution = resolution
        self.slots = tuple(resolution.slots(now))
        self.began = self.slots[0]
        self.width = len(self.slots)

    def x(self, at: datetime) -> float:
        """Where a moment lies."""
        return round((at - self.began) / self.resolution.step, 2)

    def labels(self) -> Iterator[str]:
        """What stands below the figure, from left to right at equal distances."""
        for part in range(_LABELS):
            back = self.resolution.reach * (_LABELS - part) / _LABELS
            yield format_timedelta(-back, add_direction=True, threshold=1.1, locale=current_language())
        yield gettext("now")


@blueprint.get("/cluster/history")
def history() -> str:
    """The curves of the span that the address names, and what happened in it."""
    resolution = RESOLUTIONS.get(request.args.get("span", ""), RESOLUTIONS["hour"])
    axis = Axis(resolution, datetime.now(UTC))
    desk = current_desk()
    answers = answers_to(
        {
            "points": lambda: desk.curves().points(resolution, axis.began, datetime.now(UTC)),
            "drills": lambda: desk.history().last(_MARKED),
            "moves": lambda: desk.moves().latest(_MARKED),
            "imports": lambda: recent_imports(current_catalog(), _MARKED),
        }
    )
    points = {resolution.slot(point.at): point for point in answers.get("points", [])}
    events = sorted(_events(axis, points.values(), answers), key=lambda event: event.at, reverse=True)
    names = list(dict.fromkeys(name for point in points.values() for name in point.sets))
    return render_template(
        "cluster/history.html",
        axis=axis,
        spans=SPANS,
        known="points" in answers,
        figures=[draw_set(name, axis, points, events) for name in names],
        products=_products(axis, points, names),
        events=events,
        measures=MEASURES,
    )


def draw_set(name: str, axis: Axis, points: Mapping[datetime, Point], events: Sequence[Event]) -> Figure:
    """The figure of one set."""
    found = {at: point.sets[name] for at, point in points.items() if name in point.sets}
    shown = {
        measure: {at: measure.show(v) for at, p in found.items() if (v := measure.of(p)) is not None}
        for measure in MEASURES
    }
    return Figure(
        name,
        tuple(_bands(axis, found)),
        tuple(
            _chart(axis, title, [(m, m.name, m.label, found, shown[m]) for m in measures], least)
            for title, measures, least in CHARTS
        ),
        tuple(event for event in events if name in event.sets),
        tuple(
            Row(at, _primary(found[at]), tuple(shown[measure].get(at, "—") for measure in MEASURES))
            for at in reversed(axis.slots)
            if at in found
        ),
    )


def _primary(point: SetPoint) -> str:
    return next((address for address, role in point.roles.items() if role == PRIMARY), "—")


def _products(axis: Axis, points: Mapping[datetime, Point], names: Sequence[str]) -> Chart | None:
    """How many products each shard had; None where nobody knows."""
    series = []
    for name in names:
        found = {at: point.sets[name] for at, point in points.items() if name in point.sets}
        shown = {at: f"{name} {_whole(p.products)}" for at, p in found.items() if p.products is not None}
        if shown:
            series.append((PRODUCTS, name, name, found, shown))
    return _chart(axis, PRODUCTS.label, series, 10.0) if series else None


@dataclass(frozen=True, slots=True)
class Growth:
    """How many products a shard has gained, or lost, and the curve of it from its least to its most."""

    products: int
    since: datetime
    pieces: tuple[str, ...]


def last_day() -> dict[str, Growth]:
    """The growth of each shard in the last 24 hours, or since it is known. Raises Unavailable."""
    now = datetime.now(UTC)
    axis = Axis(DAY, now)
    points = {point.at: point for point in current_desk().curves().points(DAY, axis.began, now)}
    return growth(axis, points)


def growth(axis: Axis, points: Mapping[datetime, Point]) -> dict[str, Growth]:
    """By shard, of those that are known at two times at least."""
    found: dict[str, Growth] = {}
    for name in dict.fromkeys(name for point in points.values() for name in point.sets):
        counts = {at: p.sets[name].products for at, p in sorted(points.items()) if name in p.sets}
        known = {at: count for at, count in counts.items() if count is not None}
        if len(known) > 1:
            first, *_, last = known.values()
            least = min(known.values())
            above = {at: float(count - least) for at, count in known.items()}
            pieces = tuple(_pieces(axis, max([*above.values(), 1.0]), above))
            found[name] = Growth(last - first, next(iter(known)), pieces)
    return found


_Series = tuple[Measure, str, Any, Mapping[datetime, SetPoint], Mapping[datetime, str]]


def _chart(axis: Axis, title: Any, series: Sequence[_Series], least: float) -> Chart:
    values = [v for measure, _n, _l, found, _s in series for p in found.values() if (v := measure.of(p)) is not None]
    top = max([*values, least])
    lines = [
        Line(name, label, tuple(_pieces(axis, top, {at: measure.of(p) for at, p in found.items()})))
        for measure, name, label, found, _shown in series
    ]
    spots = [
        (place, " · ".join([show_moment(at), *said]))
        for place, at in enumerate(axis.slots)
        if (said := [text for _m, _n, _l, _f, shown in series if (text := shown.get(at))])
    ]
    return Chart(title, series[0][0].show(top), tuple(lines), tuple(spots))


def _pieces(axis: Axis, top: float, values: Mapping[datetime, Any]) -> Iterator[str]:
    """The stretches without a gap, as a polyline's points; a place that stands alone is a dot."""
    places = [(place, values.get(at)) for place, at in enumerate(axis.slots)]
    for is_known, piece in groupby(places, key=lambda one: one[1] is not None):
        if is_known:
            drawn = [f"{place + 0.5},{HEIGHT - 96 * value / top:.1f}" for place, value in piece if value is not None]
            yield " ".join(drawn if len(drawn) > 1 else drawn * 2)


def _bands(axis: Axis, found: Mapping[datetime, SetPoint]) -> Iterator[tuple[str, tuple[Segment, ...]]]:
    """Each member with its roles over time."""
    for address in sorted({address for point in found.values() for address in point.roles}):
        roles = [(place, found[at].roles.get(address, "")) for place, at in enumerate(axis.slots) if at in found]
        runs = groupby(enumerate(roles), key=lambda one: (one[1][0] - one[0], one[1][1]))  # side by side, one role
        pieces = [(role, [place for _i, (place, _role) in run]) for (_gap, role), run in runs if role]
        yield address, tuple(Segment(places[0], len(places), role) for role, places in pieces)


def _events(axis: Axis, points: Iterable[Point], answers: Mapping[str, Any]) -> Iterator[Event]:
    """What happened within the axis."""
    for mark in (mark for point in points for mark in point.marks):
        text = gettext("New primary: %(member)s", member=mark.member)
        if mark.kind == "guard":
            text = gettext("The guard called an election")
        yield _event(axis, mark.at, None, mark.kind, (mark.set_name,), text, "", f"/cluster/{mark.set_name}")
    for found in (_drills(axis, answers.get("drills", [])), _moves(axis, answers.get("moves", []))):
        yield from found
    shards = tuple(dict.fromkeys(name for point in points for name, p in point.sets.items() if p.products is not None))
    yield from _imports(axis, answers.get("imports", []), shards)


def _event(
    axis: Axis, at: datetime, until: datetime | None, kind: str, sets: tuple[str, ...], text: str, by: str, href: str
) -> Event:
    x = axis.x(max(at, axis.began))
    width = max(axis.x(until) - x, 0.0) if until else 0.0
    return Event(at, x, round(width, 2), kind, sets, text, by, href)


def _drills(axis: Axis, drills: Sequence[Mapping[str, Any]]) -> Iterator[Event]:
    for drill in drills:
        at = datetime.fromisoformat(drill["started_at"])
        until = at + timedelta(seconds=drill["duration_seconds"])
        if until >= axis.began:
            fault = str(ALL["fault_names"].get(drill["plan"]["fault"], drill["plan"]["fault"]))
            text = gettext("Drill: %(fault)s", fault=fault)
            by = drill.get("by", "")
            yield _event(axis, at, until, "drill", tuple(drill["plan"]["sets"]), text, by, f"/drills/{drill['run']}")


def _moves(axis: Axis, moves: Sequence[MoveOrder]) -> Iterator[Event]:
    for move in moves:
        until = move.carried_at or datetime.now(UTC)
        if until >= axis.began:
            text = gettext("Range move: %(source)s to %(target)s", source=move.source, target=move.target)
            yield _event(axis, move.begun_at, until, "move", (move.source, move.target), text, move.by, "/cluster")


def _imports(axis: Axis, imports: Sequence[ImportRecord], shards: tuple[str, ...]) -> Iterator[Event]:
    for record in imports:
        until = record.finished_at or record.started_at
        if until >= axis.began:
            text = gettext("Import: %(file)s", file=record.source)
            yield _event(axis, record.started_at, until, "import", shards, text, record.by, "/products/imports")
