"""Drills: the list, one with its curves, two side by side, the report; ordering one, seeing it run, ending it.

The drill runner carries them out: the browser may close. A drill's picture comes from ``prodcore.drill.picture``, with
the words of the reader's language; the table behind it has the same values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from apiflask import APIBlueprint
from flask import Response, flash, g, render_template, request, url_for
from flask_babel import gettext
from markupsafe import Markup
from werkzeug.utils import redirect
from werkzeug.wrappers import Response as Redirect

from prodcore.drill import orders
from prodcore.drill.engine import objections
from prodcore.drill.ledger import streams
from prodcore.drill.orders import DrillOrder, DrillRun, read_plan
from prodcore.drill.picture import MOST_BINS, NARROW, WIDE, Bin, Layer, Words, bins, draw
from prodcore.drill.plan import DrillPlan
from prodcore.drill.report import compare
from prodcore.errors import DrillNotFound, InvalidInput
from prodcore.replicaset.diagnostic import ProblemLine
from webapp.identity.caller import required_identity
from webapp.live import DeskState, current_desk, current_status
from webapp.pages.assets import standalone_style
from webapp.pages.errors import problems_by_field
from webapp.pages.forms import is_draft, is_partial, keeps_drafts, live_page
from webapp.pages.labels import ALL
from webapp.pages.language import show_moment, show_number, show_seconds

blueprint = APIBlueprint("drills", __name__, enable_openapi=False)

_SHOWN = 100
_LIMITS = ("max_write_gap", "max_read_gap", "max_failed")
_DEFAULTS = {"fault": "kill", "target": "primary", "rounds": "1", "writes_per_second": "50"}


_ROWS = MOST_BINS[WIDE]


@dataclass(frozen=True, slots=True)
class Chart:
    """One set's picture at each width, and the same values for a table."""

    set_name: str
    pictures: tuple[Markup, ...]
    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def draw_chart(name: str, layers: Sequence[Layer], told: str, *, is_over: bool = True) -> Chart:
    """The picture of a set's load; while the drill runs its values are not to be read one by one."""
    words, title = _words(), f"{name}: {told}"
    # The drawing escapes every text that it is given.
    pictures = tuple(Markup(draw(layers, words, width, title, readable=is_over)) for width in (WIDE, NARROW))  # noqa: S704
    rows = tuple(_row(layer, one) for layer in layers for one in bins(layer, _ROWS)) if is_over else ()
    names = streams(layers[0].series)
    titles = tuple(str(words.titles[f"{kind}{name}"]) for name in names for kind in ("", "slowest "))
    return Chart(name, pictures, titles, rows)


def _row(layer: Layer, one: Bin) -> tuple[str, ...]:
    """The time, and the responses and the slowest one of each stream."""
    cells = [(show_number(round(rate, 1)), show_seconds(one.slowest[name])) for name, rate in one.rates.items()]
    return (show_seconds(one.at), *(cell for pair in cells for cell in pair))


def _words() -> Words:
    titles: dict[str, str] = {
        "writes": gettext("Writes per second"),
        "reads": gettext("Reads per second"),
        "all": gettext("Responses per second"),
        "slowest writes": gettext("Slowest write"),
        "slowest reads": gettext("Slowest read"),
        "slowest all": gettext("Slowest response"),
    }
    until_write: str = gettext("fault to first write: {}")
    return Words(ALL["step_names"], titles, until_write, show_seconds, show_number)


def _told(write_gap: float | None, read_gap: float | None) -> str:
    """What a picture says to those who do not see it."""
    gaps = {"writes": show_seconds(write_gap), "reads": show_seconds(read_gap)}
    told: str = gettext("longest write gap %(writes)s, longest read gap %(reads)s", **gaps)
    return told


@blueprint.get("/drills")
def listing() -> str:
    """The newest first, the one at work before all, and how their gaps have gone."""
    desk = current_desk()
    drills = desk.history().last(_SHOWN)
    return render_template("drills/list.html", drills=drills, trend=trend(drills), at_work=desk.state.get().at_work)


_TREND_HEIGHT = 100


@dataclass(frozen=True, slots=True)
class Spot:
    """One drill of the trend: what is told of it, where it leads, and how high its gaps are, from 0 to 100."""

    x: int
    text: str
    href: str
    outcome: str
    heights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Trend:
    """The gaps of past drills from the oldest to the newest; the scale is one of powers of ten."""

    spots: tuple[Spot, ...]
    scale: tuple[tuple[float, str], ...]
    lines: Mapping[str, str]
    first: datetime
    last: datetime


def trend(drills: Sequence[Mapping[str, Any]]) -> Trend | None:
    """Of the newest drills, the newest first; None where there are not two that measured a gap."""
    kinds = ("writes", "write_gap_seconds"), ("reads", "read_gap_seconds")
    shown = [d for d in reversed(drills) if any(d[name] for _kind, name in kinds)]
    if len(shown) < 2:
        return None
    values = [d[name] for d in shown for _kind, name in kinds if d[name]]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)

    def y(seconds: float) -> float:
        return round(_TREND_HEIGHT * (high - math.log10(seconds)) / (high - low), 1)

    spots = tuple(
        Spot(place, _told_of(d), f"/drills/{d['run']}", d["outcome"], {k: y(d[n]) for k, n in kinds if d[n]})
        for place, d in enumerate(shown)
    )
    return Trend(
        spots,
        tuple((y(10.0**power), show_seconds(10.0**power)) for power in range(low, high + 1)),
        {kind: " ".join(f"{s.x + 0.5},{s.heights[kind]}" for s in spots if kind in s.heights) for kind, _name in kinds},
        *(datetime.fromisoformat(d["started_at"]) for d in (shown[0], shown[-1])),
    )


def _told_of(drill: Mapping[str, Any]) -> str:
    fault = str(ALL["fault_names"].get(drill["plan"]["fault"], drill["plan"]["fault"]))
    gaps = _told(drill["write_gap_seconds"], drill["read_gap_seconds"])
    what = f"{fault} {', '.join(drill['plan']['sets'])}"
    when = show_moment(drill["started_at"])
    return " · ".join([when, what, str(ALL["outcome_names"][drill["outcome"]]), gaps])


@blueprint.get("/drills/<run>")
def show(run: str) -> str:
    """One drill: the verdict first, then the curves with the events on them, then every step."""
    history = current_desk().history()
    drill = history.get(run)
    others = [d for d in history.last(_SHOWN) if d["run"] != drill["run"]]
    return render_template("drills/show.html", drill=drill, charts=_charts(drill), others=others)


@blueprint.get("/drills/compare")
def side_by_side() -> str:
    """Two drills laid over each other, and their figures."""
    history = current_desk().history()
    a, b = (history.get(request.args.get(name, "")) for name in ("a", "b"))
    return render_template("drills/compare.html", a=a, b=b, rows=compare(a, b), charts=_overlaid(a, b))


def _overlaid(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Chart]:
    """The sets that both drilled; where there are none, the first one of each."""
    first, second = ({series["set"]: series for series in drill["series"]} for drill in (a, b))
    both = [(name, name) for name in first if name in second] or list(zip(first, second, strict=False))[:1]
    charts = []
    for one, other in both:
        layers = [_layer(a, first[one], "A"), _layer(b, second[other], "B")]
        told = "; ".join(f"{n}: {_told(*_gaps(drill, s))}" for n, drill, s in (("A", a, one), ("B", b, other)))
        charts.append(draw_chart(" / ".join(dict.fromkeys((one, other))), layers, told))
    return charts


@blueprint.get("/drills/<run>/report")
def report(run: str) -> Response:
    """The report as one file that stands alone."""
    drill = current_desk().history().get(run)
    headers = {"Content-Disposition": f'attachment; filename="{drill["run"]}.html"'}
    return Response(report_page(drill), headers=headers, content_type="text/html; charset=utf-8")


def report_page(drill: Mapping[str, Any]) -> str:
    """What the page of a drill shows, with its style in it and in the language of the request."""
    return render_template("drills/report.html", drill=drill, charts=_charts(drill), style=standalone_style())


def _charts(drill: Mapping[str, Any]) -> list[Chart]:
    return [
        draw_chart(series["set"], [_layer(drill, series)], _told(*_gaps(drill, series["set"])))
        for series in drill["series"]
    ]


def _gaps(drill: Mapping[str, Any], set_name: str) -> list[float | None]:
    """The longest write gap and read gap of a set."""
    rounds = [r for r in drill["rounds"] if r["set"] == set_name]
    return [
        max((gap for r in rounds if (gap := r[name]) is not None), default=None)
        for name in ("write_gap_seconds", "read_gap_seconds")
    ]


def _layer(drill: Mapping[str, Any], series: Mapping[str, Any], name: str = "") -> Layer:
    steps = [step for played in drill["rounds"] if played["set"] == series["set"] for step in played["timeline"]]
    return Layer(series, [(step["at"], step["event"]) for step in steps], name)


@dataclass(frozen=True, slots=True)
class Preflight:
    """Whether the drill of a form could begin now."""

    state: DeskState
    plan: DrillPlan | None
    errors: Mapping[str, str]
    against: tuple[ProblemLine, ...]

    @property
    def may_begin(self) -> bool:
        """Whether nothing speaks against it."""
        return bool(self.plan and self.state.runners) and not self.against and not self.state.at_work


@blueprint.get("/drills/new")
def new() -> str:
    """The form with its verdict; a script asks for the verdict alone whenever the form changes."""
    values = _values(request.args.to_dict(), request.args.getlist("sets"))
    template = "drills/verdict.html" if is_partial() else "drills/new.html"
    return _form(template, values, _preflight(values))


@blueprint.post("/drills/new")
@keeps_drafts
def start() -> tuple[str, int] | Redirect:
    """Order it, unless something speaks against it now."""
    values = _values(request.form.to_dict(), request.form.getlist("sets"))
    preflight = _preflight(values)
    if is_draft():
        return _form("drills/new.html", values, preflight), 200
    if preflight.plan is None or not preflight.may_begin:
        return _form("drills/new.html", values, preflight, refused=True), 422 if preflight.errors else 409
    by = required_identity().username
    placed = DrillOrder(_order_id(), by, datetime.now(UTC), preflight.plan)
    current_desk().board().place(placed)
    g.audit_subject = ", ".join(placed.plan.sets)
    return redirect(url_for("pages.drills.follow", order=placed.id), 303)


@blueprint.get("/drills/live/<uuid:order>")
def follow(order: UUID) -> Response | str:
    """A drill as it runs; everybody may look."""
    desk = current_desk()

    def context() -> dict[str, Any]:
        run = desk.run(str(order))
        if run is None:
            raise DrillNotFound(f"no drill was ordered as {order}")
        charts = [_live_chart(run, series) for series in run.series]
        return {"run": run, "charts": charts, "state": desk.state.get()}

    return live_page("drills/live.html", "drills/live_state.html", context, desk.state.wait)


@blueprint.post("/drills/live/<uuid:order>/stop")
def stop(order: UUID) -> Redirect:
    """End it now; the runner puts everything back."""
    current_desk().board().ask_to_stop(str(order), required_identity().username)
    flash(gettext("The drill is stopping: everything that it stopped is being restored."), "note")
    return redirect(url_for("pages.drills.follow", order=order), 303)


def _values(given: Mapping[str, str], sets: list[str]) -> dict[str, Any]:
    """What the form holds; a form that nobody has filled in yet proposes to kill the first shard's primary."""
    wanted = sets if given else [current_desk().board().sets[0]]
    return {**_DEFAULTS, **given, "sets": wanted}


def _preflight(values: Mapping[str, Any]) -> Preflight:
    desk = current_desk()
    state = desk.state.get()
    try:
        plan = read_plan({**values, "limits": {name: values.get(name) for name in _LIMITS}}, desk.board().sets)
    except InvalidInput as error:
        return Preflight(state, None, problems_by_field(error), ())
    *shards, _users = desk.board().sets
    status = current_status()
    sets = [found for name in plan.judged(frozenset(shards)) if (found := status.set(name))]
    return Preflight(state, plan, {}, tuple(objections(plan, sets, state.controlled)))


def _form(template: str, values: Mapping[str, Any], preflight: Preflight, *, refused: bool = False) -> str:
    order_id = values.get("order") or str(uuid4())
    sets = current_desk().board().sets
    return render_template(
        template,
        values=values,
        preflight=preflight,
        order_id=order_id,
        sets=sets,
        bounds=orders,
        errors=preflight.errors,
        refused=refused,
    )


def _order_id() -> str:
    """The id that the form carries, so that sending it twice is one drill."""
    try:
        return str(UUID(request.form.get("order", "")))
    except ValueError:
        return str(uuid4())


def _live_chart(run: DrillRun, series: Mapping[str, Any]) -> Chart:
    events = [(step.at, step.step) for step in run.steps if step.set_name == series["set"]]
    gaps = (run.figures.get("write_gap_seconds"), run.figures.get("read_gap_seconds"))
    return draw_chart(series["set"], [Layer(series, events)], _told(*gaps), is_over=False)
