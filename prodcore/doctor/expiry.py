"""What ends soon or has ended: service tokens, signing keys, the setup code. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from prodcore.doctor.check import Check, State

GROUP = "keys and tokens"

SOON = timedelta(days=14)
OLD_KEY = timedelta(days=365)


def judge_tokens(tokens: Iterable[Mapping[str, Any]], now: datetime) -> Iterator[Check]:
    """Service tokens as ``GET /tokens`` lists them; a revoked one is nobody's loss."""
    live = 0
    for token in tokens:
        if token.get("revoked"):
            continue
        ends = datetime.fromisoformat(str(token["expires_at"]))
        fix = f"prodctl token add --name {token['name']}-2 …, then prodctl token rm {token['name']}"
        if ends <= now:
            yield Check(GROUP, f"token {token['name']}", State.WARNING, f"ended on {ends:%Y-%m-%d}", fix)
        elif ends - now < SOON:
            yield Check(GROUP, f"token {token['name']}", State.WARNING, f"ends on {ends:%Y-%m-%d}", fix)
        else:
            live += 1
    yield Check(GROUP, "service tokens", State.OK, f"{live} good for {SOON.days} days and more")


def judge_keys(keys: Iterable[Mapping[str, Any]], now: datetime) -> Iterator[Check]:
    """Signing keys as ``GET /keys`` lists them."""
    began = max((datetime.fromisoformat(str(k["active_from"])) for k in keys), default=None)
    if began is None:
        yield Check(GROUP, "signing key", State.PROBLEM, "there is none: nobody can log in", "prodctl key rotate")
    elif now - began > OLD_KEY:
        text = f"the newest is of {began:%Y-%m-%d}"
        yield Check(GROUP, "signing key", State.WARNING, text, "prodctl key rotate: nobody is logged out")
    else:
        yield Check(GROUP, "signing key", State.OK, f"the newest is of {began:%Y-%m-%d}")


def judge_setup_code(open_: bool, sealed: str | None, now: datetime) -> Check:
    """The first admin; ``sealed`` is the content of the code's file where it can be seen."""
    from prodcore.identity.users import has_ended

    if not open_:
        return Check(GROUP, "first admin", State.OK, "has been made; the setup code is spent")
    if sealed is not None and has_ended(sealed, now):
        text = "is still to be made, and the setup code has ended"
        return Check(GROUP, "first admin", State.PROBLEM, text, "prodctl local up prints a new code")
    text = "is still to be made: whoever has the setup code becomes it"
    return Check(GROUP, "first admin", State.WARNING, text, "prodctl login")
