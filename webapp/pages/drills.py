"""Drills: the list, one with its curves, two side by side, the report; ordering one, seeing it run, ending it.

The drill runner carries them out: the browser may close. A drill's load over time is drawn here as shapes: latency
above, answers below, the events on the axis they share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from apiflask import APIBlueprint
from flask import Response, flash, g, render_template, request, url_for
from flask_babel import gettext
from werkzeug.utils import redirect
from werkzeug.wrappers import Response as Redirect

from prodcore.drill import orders
from prodcore.drill.engine import objections
from prodcore.drill.orders import DrillOrder, DrillRun, read_plan
from prodcore.drill.plan import DrillPlan
from prodcore.drill.report import compare
from prodcore.errors import DrillNotFound, InvalidInput
from prodcore.replicaset.diagnostic import ProblemLine
from webapp.identity.caller import required_identity
from webapp.live import DeskState, current_desk, current_status
from webapp.pages.assets import standalone_style
from webapp.pages.errors import problems_by_field
from webapp.pages.forms import is_draft, is_partial, keeps_drafts, live_page

blueprint = APIBlueprint("drills", __name__, enable_openapi=False)

WIDTH, HEIGHT, TOP, GAP = 1000, 120, 64, 28
FLOOR = TOP + 2 * HEIGHT + GAP

_MARKED = ("fault", "new primary", "first acknowledged write", "old member back", "caught up")
_STEPS = (1, 2, 5, 10, 30, 60, 300, 900, 3600, 86400)
_MOST_TICKS = 12

_SHOWN = 100
_LIMITS = ("max_write_gap", "max_read_gap", "max_failed")
_DEFAULTS = {"fault": "kill", "target": "primary", "rounds": "1", "writes_per_second": "50"}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to the set; ``at`` in seconds from the begin, ``seconds`` from the fault."""

    at: float
    event: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Mark:
    """An event: where it stands, which row its name takes, and when it was, in seconds from the fault."""

    x: float
    row: int
    event: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Bar:
    """What ended in one slice of time."""

    x: float
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Chart:
    """One set's picture, in the units of its view box."""

    set_name: str
    slowest_seconds: float
    busiest_per_second: float
    bar_width: float
    latency: str
    bars: tuple[Bar, ...]
    failures: tuple[float, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, float], ...]
    """(x, seconds from the begin)."""


def draw(series: Mapping[str, Any], events: Iterable[Event]) -> Chart:
    """The picture of one set's series, with the events that matter on it."""
    step, rates = series["point_seconds"], [n / series["point_seconds"] for n in series["acknowledged"]]
    duration = step * max(1, len(rates))
    slowest = max((v for v in series["max_latency_seconds"] if v is not None), default=0) or 1
    busiest = max(rates, default=0) or 1

    def x(at: float) -> float:
        return round(float(at / duration * WIDTH), 1)

    shown = [e for e in events if e.event in _MARKED]
    tick = next((s for s in _STEPS if duration / s <= _MOST_TICKS), _STEPS[-1])
    return Chart(
        set_name=series["set"],
        slowest_seconds=slowest,
        busiest_per_second=busiest,
        bar_width=round(max(0.5, WIDTH / max(1, len(rates)) - 0.3), 2),
        latency=" ".join(
            f"{x((i + 0.5) * step)},{TOP + HEIGHT - v / slowest * HEIGHT:.1f}"
            for i, v in enumerate(series["max_latency_seconds"])
            if v is not None
        ),
        bars=tuple(
            Bar(x(i * step), round(FLOOR - r / busiest * HEIGHT, 1), round(r / busiest * HEIGHT, 1))
            for i, r in enumerate(rates)
            if r
        ),
        failures=tuple(x(i * step) for i, n in enumerate(series["failed"]) if n),
        marks=tuple(Mark(x(e.at), i % 4, e.event, e.seconds) for i, e in enumerate(shown)),
        ticks=tuple((x(t), t) for t in range(0, int(duration) + 1, tick)),
    )


@blueprint.get("/drills")
def listing() -> str:
    """The newest first, and the one at work before all."""
    desk = current_desk()
    return render_template("drills/list.html", drills=desk.history().last(_SHOWN), at_work=desk.state.get().at_work)


@blueprint.get("/drills/<run>")
def show(run: str) -> str:
    """One drill: the verdict first, then the curves with the events on them, then every step."""
    history = current_desk().history()
    drill = history.get(run)
    others = [d for d in history.last(_SHOWN) if d["run"] != drill["run"]]
    return render_template("drills/show.html", drill=drill, charts=_charts(drill), others=others)


@blueprint.get("/drills/compare")
def side_by_side() -> str:
    """The figures of two drills."""
    history = current_desk().history()
    a, b = (history.get(request.args.get(name, "")) for name in ("a", "b"))
    return render_template("drills/compare.html", a=a, b=b, rows=compare(a, b))


@blueprint.get("/drills/<run>/report")
def report(run: str) -> Response:
    """The report as one file that stands alone."""
    drill: dict[str, Any] = current_desk().history().get(run)
    page = render_template("drills/report.html", drill=drill, charts=_charts(drill), style=standalone_style())
    name = f"{drill['run']}.html"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(page, headers=headers, content_type="text/html; charset=utf-8")


def _charts(drill: dict[str, Any]) -> list[Chart]:
    return [draw(series, _events(drill, series["set"])) for series in drill["series"]]


def _events(drill: dict[str, Any], set_name: str) -> list[Event]:
    return [
        Event(step["at"], step["event"], step["seconds"])
        for played in drill["rounds"]
        if played["set"] == set_name
        for step in played["timeline"]
    ]


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
        charts = [draw(series, _live_events(run, series["set"])) for series in run.series]
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


def _live_events(run: DrillRun, set_name: str) -> list[Event]:
    return [Event(step.at, step.step, step.since_fault or 0.0) for step in run.steps if step.set_name == set_name]
