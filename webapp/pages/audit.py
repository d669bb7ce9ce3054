"""The audit: who did what to whom or what, when, from where, and with which outcome."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from apiflask import APIBlueprint
from flask import render_template, request
from flask_babel import lazy_gettext

from webapp.identity.caller import account
from webapp.pages.forms import is_partial

blueprint = APIBlueprint("audit", __name__, enable_openapi=False)

ACTIONS: dict[str, Any] = {
    "session.login": lazy_gettext("Login"),
    "session.logout": lazy_gettext("Logout"),
    "session.end": lazy_gettext("Session ended"),
    "session.end_all": lazy_gettext("All sessions ended"),
    "account.prove": lazy_gettext("Password given again"),
    "account.change_password": lazy_gettext("Own password changed"),
    "account.begin_second_factor": lazy_gettext("Second factor setup started"),
    "account.confirm_second_factor": lazy_gettext("Second factor enabled"),
    "account.remove_second_factor": lazy_gettext("Own second factor removed"),
    "user.set_up": lazy_gettext("First administrator created"),
    "user.add": lazy_gettext("User created"),
    "user.edit": lazy_gettext("User changed"),
    "user.remove": lazy_gettext("User deleted"),
    "user.invite": lazy_gettext("Invitation created"),
    "user.register": lazy_gettext("User registered"),
    "user.create_reset_code": lazy_gettext("Password reset code created"),
    "user.reset_password": lazy_gettext("Password reset with a code"),
    "user.remove_second_factor": lazy_gettext("Second factor removed by an administrator"),
    "token.add": lazy_gettext("Service token created"),
    "token.revoke": lazy_gettext("Service token revoked"),
    "key.rotate": lazy_gettext("Signing keys rotated"),
    "product.add": lazy_gettext("Product created"),
    "product.edit": lazy_gettext("Product edited"),
    "product.remove": lazy_gettext("Product deleted"),
    "product.restore": lazy_gettext("Product restored"),
    "product.bulk_edit": lazy_gettext("Products edited in bulk"),
    "product.bulk_remove": lazy_gettext("Products deleted in bulk"),
    "view.save": lazy_gettext("Shared view saved"),
    "view.rename": lazy_gettext("Shared view renamed"),
    "view.remove": lazy_gettext("Shared view removed"),
    "import.store": lazy_gettext("Products imported"),
    "import.record": lazy_gettext("Import recorded"),
    "import.undo": lazy_gettext("Import undone"),
    "import.save_mapping": lazy_gettext("Import mapping saved"),
    "import.rename_mapping": lazy_gettext("Import mapping renamed"),
    "import.remove_mapping": lazy_gettext("Import mapping removed"),
    "drill.start": lazy_gettext("Drill started"),
    "drill.stop": lazy_gettext("Drill stopped"),
    "shard.move": lazy_gettext("Range move started"),
    "shard.drain": lazy_gettext("Shard emptying started"),
    "shard.rebalance": lazy_gettext("Rebalancing started"),
    "shard.pause": lazy_gettext("Range move paused"),
    "shard.resume": lazy_gettext("Range move resumed"),
    "shard.abort": lazy_gettext("Range move undone"),
    "set.switch_over": lazy_gettext("Switchover ordered"),
    "member.start": lazy_gettext("Member started"),
    "member.stop": lazy_gettext("Member stopped"),
}
OUTCOMES: dict[str, Any] = {
    "done": lazy_gettext("done"),
    "not_authenticated": lazy_gettext("refused: wrong name, password or code"),
    "second_factor_required": lazy_gettext("asked for the second factor"),
    "forbidden": lazy_gettext("refused: not allowed"),
    "too_many_attempts": lazy_gettext("refused: too many attempts"),
    "invalid_input": lazy_gettext("refused: not valid"),
    "last_admin": lazy_gettext("refused: the last administrator"),
    "user_exists": lazy_gettext("refused: the name is taken"),
}
"""What is rarer is shown as its code."""
_LIMIT = 50
FILTERS = ("action", "by", "subject")


class Age(NamedTuple):
    """A span of time up to now."""

    hours: int
    name: Any


AGES = {
    "1h": Age(1, lazy_gettext("the last hour")),
    "24h": Age(24, lazy_gettext("the last 24 hours")),
    "7d": Age(7 * 24, lazy_gettext("the last 7 days")),
    "30d": Age(30 * 24, lazy_gettext("the last 30 days")),
}


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
