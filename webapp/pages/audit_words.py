"""What the audit's actions and outcomes are called, and the spans of time to choose from."""

from __future__ import annotations

from typing import Any, NamedTuple

from flask_babel import lazy_gettext


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

ACTIONS: dict[str, Any] = {
    "session.login": lazy_gettext("Login"),
    "session.logout": lazy_gettext("Logout"),
    "session.end": lazy_gettext("Session ended"),
    "session.end_all": lazy_gettext("All sessions ended"),
    "account.password": lazy_gettext("Own password changed"),
    "account.second_factor_begun": lazy_gettext("Second factor begun"),
    "account.second_factor_confirmed": lazy_gettext("Second factor in force"),
    "account.second_factor_removed": lazy_gettext("Own second factor removed"),
    "user.setup": lazy_gettext("First administrator made"),
    "user.add": lazy_gettext("User made"),
    "user.change": lazy_gettext("User changed"),
    "user.remove": lazy_gettext("User deleted"),
    "user.invite": lazy_gettext("Invitation made"),
    "user.register": lazy_gettext("User registered"),
    "user.reset_code": lazy_gettext("Code for a new password made"),
    "user.password_reset": lazy_gettext("Password set by a code"),
    "user.second_factor_removed": lazy_gettext("Second factor taken away"),
    "token.create": lazy_gettext("Service token made"),
    "token.revoke": lazy_gettext("Service token revoked"),
    "keys.rotate": lazy_gettext("Signing keys rotated"),
    "products.create": lazy_gettext("Product created"),
    "products.edit": lazy_gettext("Product edited"),
    "products.delete": lazy_gettext("Product deleted"),
    "product_history.restore": lazy_gettext("Product restored"),
    "product_bulk.edits": lazy_gettext("Many products edited"),
    "product_bulk.deletes": lazy_gettext("Many products deleted"),
    "imports.stores": lazy_gettext("Products imported"),
    "imports.note_import": lazy_gettext("Import noted"),
    "imports.undo_import": lazy_gettext("Import taken back"),
    "drill.start": lazy_gettext("Drill begun"),
    "drill.stop": lazy_gettext("Drill ended by hand"),
}

OUTCOMES: dict[str, Any] = {
    "done": lazy_gettext("done"),
    "not_authenticated": lazy_gettext("refused: wrong name, password or code"),
    "second_factor_required": lazy_gettext("asked for the second factor"),
    "forbidden": lazy_gettext("refused: no right"),
    "too_many_attempts": lazy_gettext("refused: too many attempts"),
    "invalid_input": lazy_gettext("refused: not valid"),
    "last_admin": lazy_gettext("refused: the last administrator"),
    "user_exists": lazy_gettext("refused: the name is taken"),
}
"""What is rarer is shown as its code."""
