"""Keeping a drill's report in the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prodctl.terminal.output import message

if TYPE_CHECKING:
    from prodcore.settings import Settings


def keep(settings: Settings, report: dict[str, Any], percent: float | None = None) -> None:
    """Store the report, after it is compared with the earlier ones. A drill counts even when it cannot be kept.

    With ``percent`` it fails when it is so much slower than they were, and when nobody can tell.
    """
    from prodcore.app.wiring import open_history
    from prodcore.drill.history import COMPARED_WITH, alike, slower_than_before
    from prodcore.errors import ProdError

    try:
        with open_history(settings) as kept:
            if percent is not None:
                slower = slower_than_before(report, kept.last(COMPARED_WITH, alike(report)), percent)
                if slower:
                    report["missed"].append(slower)
                    report["outcome"] = "failed"
            kept.add(report)
    except ProdError as error:
        message(f"The report could not be kept: {error.message}")
        if percent is not None and report["outcome"] == "passed":
            report["missed"].append(f"nobody knows whether it was slower than the drills before: {error.message}")
            report["outcome"] = "failed"
