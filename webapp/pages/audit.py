"""The audit: who did what to whom or what, when, from where, and whether it came to pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from apiflask import APIBlueprint
from flask import render_template, request

from webapp.identity.caller import account
from webapp.pages.audit_words import ACTIONS, AGES, OUTCOMES
from webapp.pages.errors import is_partial

blueprint = APIBlueprint("audit", __name__, enable_openapi=False)

_LIMIT = 50
FILTERS = ("action", "by", "subject")


@blueprint.get("/audit")
def listing() -> str:
    """The newest entries first; the filters and the place are in the address."""
    filters = {name: request.args.get(name, "").strip() for name in FILTERS}
    filters["since"] = since = request.args.get("since", "")
    before = request.args.get("before", "")
    query = {**filters, "since": _moment(since), "before": before}
    query = {name: value for name, value in query.items() if value}
    entries = account("GET", "/audit", query={**query, "limit": _LIMIT})["items"]
    older = entries[-1]["at"] if len(entries) == _LIMIT else ""
    template = "audit/entries.html" if is_partial() else "audit/list.html"
    return render_template(
        template,
        entries=entries,
        filters=filters,
        before=before,
        older=older,
        actions=ACTIONS,
        ages=AGES,
        outcomes=OUTCOMES,
    )


def _moment(age: str) -> str:
    """When the chosen span of time began; empty for all time."""
    return (datetime.now(UTC) - timedelta(hours=AGES[age].hours)).isoformat() if age in AGES else ""
