"""Drills that were: the list, one with its curves, two side by side, the report to keep. Everybody may look."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, cast

from apiflask import APIBlueprint
from flask import Response, current_app, render_template, request

from prodcore.bootstrap_cluster import open_history
from prodcore.drill.history import DrillHistory, compare
from prodcore.drill.render_html import render_html
from webapp.pages import drill_chart

if TYPE_CHECKING:
    from prodcore.settings import Settings

blueprint = APIBlueprint("drills", __name__, enable_openapi=False)

_SHOWN = 100


class DrillArchive:
    """The history of this worker process: opened when first needed, so after forking."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._resources = ExitStack()
        self._history: DrillHistory | None = None

    def get(self) -> DrillHistory:
        """The history. Its reads raise Unavailable."""
        with self._lock:
            if self._history is None:
                self._history = self._resources.enter_context(open_history(self._settings))
            return self._history


@blueprint.get("/drills")
def listing() -> str:
    """The newest first."""
    return render_template("drills/list.html", drills=_history().last(_SHOWN))


@blueprint.get("/drills/<run>")
def show(run: str) -> str:
    """One drill: the verdict first, then the curves with the events on them, then every step."""
    drill = _history().get(run)
    charts = [drill_chart.draw(drill, series) for series in drill["series"]]
    others = [d for d in _history().last(_SHOWN) if d["run"] != drill["run"]]
    return render_template("drills/show.html", drill=drill, charts=charts, others=others, size=drill_chart)


@blueprint.get("/drills/compare")
def side_by_side() -> str:
    """The figures of two drills."""
    a, b = (_history().get(request.args.get(name, "")) for name in ("a", "b"))
    return render_template("drills/compare.html", a=a, b=b, rows=compare(a, b))


@blueprint.get("/drills/<run>/report")
def report(run: str) -> Response:
    """The report as one file that stands alone."""
    drill: dict[str, Any] = _history().get(run)
    name = f"{drill['run']}.html"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(render_html(drill), headers=headers, content_type="application/octet-stream")


def _history() -> DrillHistory:
    return cast("DrillArchive", current_app.extensions["drill_archive"]).get()
