"""Ordering a drill in the browser, seeing it run, ending it. The drill runner does it; the browser may close."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from apiflask import APIBlueprint
from flask import Response, flash, g, render_template, request, url_for
from flask_babel import gettext
from werkzeug.utils import redirect
from werkzeug.wrappers import Response as Redirect

from prodcore.drill import order as orders
from prodcore.drill.order import DrillOrder, DrillRun, read_plan
from prodcore.drill.plan import DrillPlan
from prodcore.drill.preflight import objections
from prodcore.errors import DrillNotFound, InvalidInput
from prodcore.replicaset.diagnostic import ProblemLine
from webapp.identity.caller import required_identity
from webapp.live.cluster_picture import current_status
from webapp.live.drill_desk import DeskState, current_desk
from webapp.pages import drill_chart
from webapp.pages.errors import is_partial
from webapp.pages.live import live_page
from webapp.pages.messages import problems_by_field

blueprint = APIBlueprint("drill_orders", __name__, enable_openapi=False)

_LIMITS = ("max_write_gap", "max_read_gap", "max_failed")
_DEFAULTS = {"fault": "kill", "target": "primary", "rounds": "1", "writes_per_second": "50"}


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
def start() -> tuple[str, int] | Redirect:
    """Order it, unless something speaks against it now."""
    values = _values(request.form.to_dict(), request.form.getlist("sets"))
    preflight = _preflight(values)
    if preflight.plan is None or not preflight.may_begin:
        return _form("drills/new.html", values, preflight), 422 if preflight.errors else 409
    by = required_identity().username
    placed = DrillOrder(_order_id(), by, datetime.now(UTC), preflight.plan)
    current_desk().board().place(placed)
    g.audit_subject = ", ".join(placed.plan.sets)
    return redirect(url_for("pages.drill_orders.follow", order=placed.id), 303)


@blueprint.get("/drills/live/<uuid:order>")
def follow(order: UUID) -> Response | str:
    """A drill as it runs; everybody may look."""
    desk = current_desk()

    def context() -> dict[str, Any]:
        run = desk.run(str(order))
        if run is None:
            raise DrillNotFound(f"no drill was ordered as {order}")
        charts = [drill_chart.draw(series, _events(run, series["set"])) for series in run.series]
        return {"run": run, "charts": charts, "state": desk.state.get()}

    return live_page("drills/live.html", "drills/live_state.html", context, desk.state.wait)


@blueprint.post("/drills/live/<uuid:order>/stop")
def stop(order: UUID) -> Redirect:
    """End it now; the runner puts everything back."""
    current_desk().board().ask_to_stop(str(order), required_identity().username)
    flash(gettext("The drill is being ended: what it has broken is put back."), "note")
    return redirect(url_for("pages.drill_orders.follow", order=order), 303)


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


def _form(template: str, values: Mapping[str, Any], preflight: Preflight) -> str:
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
    )


def _order_id() -> str:
    """The id that the form carries, so that sending it twice is one drill."""
    try:
        return str(UUID(request.form.get("order", "")))
    except ValueError:
        return str(uuid4())


def _events(run: DrillRun, set_name: str) -> list[drill_chart.Event]:
    return [
        drill_chart.Event(step.at, step.step, step.since_fault or 0.0)
        for step in run.steps
        if step.set_name == set_name
    ]
