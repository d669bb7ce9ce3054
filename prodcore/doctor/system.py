"""Is the system as it should be: containers, members, layout, keys and tokens? Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from prodcore.doctor.machine import Listener
from prodcore.identity.users import has_ended
from prodcore.replicaset.diagnostic import Diagnostic, Severity, counted
from prodcore.replicaset.lint import by_cause
from prodcore.replicaset.status import MemberConfig

_CONTAINER_FIX = "prodctl deploy plan, then prodctl deploy apply"


def judge_container(
    name: str, listening: Iterable[Listener], allowed: set[Listener], units: Mapping[str, str], expected: Iterable[str]
) -> Iterator[Diagnostic]:
    """Who listens that should not, and which units are not active; or one line when everything is as expected."""
    checks = [*_unexpected_listeners(name, listening, allowed), *_units(name, units, set(expected))]
    yield from checks
    if not checks:
        text = f"{counted(len(allowed), 'listening port')} and {counted(len(set(expected)), 'unit')}, as expected"
        yield Diagnostic("containers", name, Severity.OK, text)


def _unexpected_listeners(name: str, listening: Iterable[Listener], allowed: set[Listener]) -> Iterator[Diagnostic]:
    for address, port in sorted(set(listening) - allowed):
        text = f"something listens on {address}:{port} that is not expected there"
        yield Diagnostic(
            "unexpected_listener", name, Severity.PROBLEM, text, f"incus exec {name} -- ss -ltnp says what it is"
        )


def _units(name: str, units: Mapping[str, str], expected: set[str]) -> Iterator[Diagnostic]:
    """The expected units that are not active, in one line a state; then the others that have failed."""
    by_state: dict[str, list[str]] = {}
    for unit in sorted(expected):
        by_state.setdefault(units.get(unit, "unknown"), []).append(unit)
    for state, alike in by_state.items():
        if state != "active":
            yield Diagnostic("unit_not_active", name, Severity.PROBLEM, f"{state}: {', '.join(alike)}", _CONTAINER_FIX)
    for unit in sorted(u for u, state in units.items() if state == "failed" and u not in expected):
        fix = f"incus exec {name} -- journalctl -u {unit}"
        yield Diagnostic("unit_failed", name, Severity.WARNING, f"failed: {unit}", fix)


_CERTIFICATE_DAYS = 21
"""A certificate of ours is renewed when 30 days are left: with fewer, nobody renews it."""


def judge_certificate(name: str, ends: datetime, now: datetime) -> Diagnostic:
    """Whether a service's certificate is good for a while yet."""
    days = (ends - now).days
    if days >= _CERTIFICATE_DAYS:
        return Diagnostic("certificate", name, Severity.OK, f"its certificate expires in {days} days")
    fix = "prodctl local renew-certificate; for one of your own, ask its issuer"
    return Diagnostic("certificate_ends", name, Severity.PROBLEM, f"its certificate expires in {days} days", fix)


_COVERED_BY_LAYOUT = {"one_host"}


def from_findings(found: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """One line for each risk, with all members that have it."""
    grouped = by_cause(d for d in found if d.code not in _COVERED_BY_LAYOUT)
    yield from grouped
    if not grouped:
        yield Diagnostic("lint", "set-up", Severity.OK, "nothing risky: prodctl cluster lint")


_LAYOUT_FIX = "one member on each host: the layout spread of prodctl deploy"


def hosts_with_majority(config: Iterable[MemberConfig]) -> list[str]:
    """The hosts whose loss takes a set's majority, and with it its writes."""
    votes: Counter[str] = Counter()
    for member in config:
        votes[member.address.rsplit(":", 1)[0]] += member.votes
    majority = votes.total() // 2 + 1
    return [host for host, lost in votes.items() if votes.total() - lost < majority]


def judge_layout(sets: Iterable[tuple[str, Iterable[MemberConfig]]]) -> Iterator[Diagnostic]:
    """What the loss of one host costs each set, by its name and configuration; alike sets in one line."""
    alike: dict[str, list[str]] = {}
    for name, config in sets:
        members = tuple(config)
        if members:
            alike.setdefault(" or ".join(hosts_with_majority(members)), []).append(name)
    for hosts, names in alike.items():
        subject = ", ".join(names)
        if hosts:
            text = f"no writes while {hosts} is down; any one process may die"
            yield Diagnostic("host_loss", subject, Severity.NOTE, text, _LAYOUT_FIX)
        else:
            yield Diagnostic("host_loss", subject, Severity.OK, "any one host may be down")
    text = "webapp and authsvc run once each: without the one no browser and no REST, without the other no new login"
    yield Diagnostic(
        "single_services", "services", Severity.NOTE, text, "shards stay within reach: prodctl cluster, prodctl shard"
    )


SOON = timedelta(days=14)
OLD_KEY = timedelta(days=365)


def judge_tokens(tokens: Iterable[Mapping[str, Any]], now: datetime) -> Iterator[Diagnostic]:
    """Service tokens as ``GET /tokens`` lists them; revoked ones are ignored."""
    live = 0
    for token in tokens:
        if token.get("revoked"):
            continue
        expires = datetime.fromisoformat(str(token["expires_at"]))
        fix = f"prodctl token add --name {token['name']}-2 …, then prodctl token rm {token['name']}"
        if expires <= now:
            yield Diagnostic(
                "token_expired", f"token {token['name']}", Severity.WARNING, f"expired on {expires:%Y-%m-%d}", fix
            )
        elif expires - now < SOON:
            yield Diagnostic(
                "token_expires", f"token {token['name']}", Severity.WARNING, f"expires on {expires:%Y-%m-%d}", fix
            )
        else:
            live += 1
    yield Diagnostic("tokens", "service tokens", Severity.OK, f"{live} valid for {SOON.days} days and more")


def judge_keys(keys: Iterable[Mapping[str, Any]], now: datetime) -> Iterator[Diagnostic]:
    """Signing keys as ``GET /keys`` lists them."""
    began = max((datetime.fromisoformat(str(k["active_from"])) for k in keys), default=None)
    if began is None:
        yield Diagnostic(
            "no_signing_key", "signing key", Severity.PROBLEM, "there is none: nobody can log in", "prodctl key rotate"
        )
    elif now - began > OLD_KEY:
        text = f"the newest is from {began:%Y-%m-%d}"
        yield Diagnostic(
            "old_signing_key", "signing key", Severity.WARNING, text, "prodctl key rotate: nobody is logged out"
        )
    else:
        yield Diagnostic("signing_key", "signing key", Severity.OK, f"the newest is from {began:%Y-%m-%d}")


def judge_setup_code(open_: bool, sealed: str | None, now: datetime) -> Diagnostic:
    """The first admin; ``sealed`` is the content of the code's file where it can be seen."""
    if not open_:
        return Diagnostic("first_admin", "first admin", Severity.OK, "has been created; the setup code is used up")
    if sealed is not None and has_ended(sealed, now):
        text = "is still to be created, and the setup code has expired"
        return Diagnostic(
            "setup_code_expired", "first admin", Severity.PROBLEM, text, "prodctl local up prints a new code"
        )
    text = "is still to be created: anyone who has the setup code becomes the first admin"
    return Diagnostic("no_admin", "first admin", Severity.WARNING, text, "prodctl login")
