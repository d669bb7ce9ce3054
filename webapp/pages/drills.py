"""Drills that were: the list, one with its curves, two side by side, the report to keep. Everybody may look."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import Response, render_template, request

from prodcore.drill.history import compare
from prodcore.drill.render_html import render_html
from webapp.live.drill_desk import current_desk
from webapp.pages import drill_chart

blueprint = APIBlueprint("drills", __name__, enable_openapi=False)

_SHOWN = 100


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
    charts = [drill_chart.draw(series, _events(drill, series["set"])) for series in drill["series"]]
    others = [d for d in history.last(_SHOWN) if d["run"] != drill["run"]]
    return render_template("drills/show.html", drill=drill, charts=charts, others=others)


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
    name = f"{drill['run']}.html"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(render_html(drill), headers=headers, content_type="application/octet-stream")


def _events(drill: dict[str, Any], set_name: str) -> list[drill_chart.Event]:
    return [
        drill_chart.Event(step["at"], step["event"], step["seconds"])
        for played in drill["rounds"]
        if played["set"] == set_name
        for step in played["timeline"]
    ]
