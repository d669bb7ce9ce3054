"""The cluster as it is at this moment: shards, ranges and members, and what is wrong in the reader's language."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, islice
from typing import Any

from apiflask import APIBlueprint
from flask import Response, render_template
from flask_babel import lazy_gettext

from prodcore.catalog.distribution import Share
from prodcore.errors import ShardNotFound
from prodcore.identity.rights import Right
from prodcore.replicaset.diagnostic import SENTENCES as CORE_SENTENCES
from prodcore.replicaset.diagnostic import ProblemLine
from prodcore.replicaset.status import SetStatus
from prodcore.routing import Range, joined, show_key
from prodcore.sharding.mover import MoveOrder
from webapp.identity.caller import may
from webapp.live import current_desk, current_picture, current_status
from webapp.pages.errors import core_text
from webapp.pages.forms import live_page
from webapp.pages.labels import ALL
from webapp.pages.language import show_number

blueprint = APIBlueprint("cluster", __name__, enable_openapi=False)

SENTENCES: dict[str, Any] = {
    "no_member": lazy_gettext("{set}: no member is responding"),
    "no_primary": lazy_gettext("{set}: there is no primary, so writes are not possible"),
    "no_majority": lazy_gettext("{set}: no majority: {reached} of {votes} votes can be reached, {needed} are needed"),
    "stranger": lazy_gettext("{set}: {member} is in the connection string but not a member of the set"),
    "unreachable": lazy_gettext("{set}: {member} is {role}: {why}"),
    "not_working": lazy_gettext("{set}: {member} is {role}"),
    "lag": lazy_gettext("{set}: {member} is {seconds} s behind the primary"),
    "former_primary": lazy_gettext(
        "{set}: {member} still believes it is primary in term {term}; the primary is {primary}, in term {newer}"
    ),
    "other_primary": lazy_gettext("{set}: {member} believes {believed} is primary, not {primary}"),
    "no_believed_primary": lazy_gettext("{set}: {member} believes there is no primary, although {primary} is primary"),
    "cut_off": lazy_gettext("{set}: {member} cannot reach {other}, although it responds from here"),
    "configurations": lazy_gettext("{set}: the members hold different configurations: {told}"),
    "map_unreadable": lazy_gettext("shard map: cannot be read from {set}"),
    "map_copy_differs": lazy_gettext(
        "shard map: {set} holds a copy of version {copy}, the stored map is version {stored}"
    ),
    "map_copy_missing": lazy_gettext("shard map: {set} has no copy of it"),
    "service": lazy_gettext("{service}: {state}: {why}"),
    "set_without_primary": lazy_gettext("{set} has no primary"),
    "majority_at_stake": lazy_gettext(
        "{set} would lose its majority: {working} members are running, {needed} are needed"
    ),
    "little_disk": lazy_gettext("{set}: {member} has only {megabytes} MB of free disk"),
    "not_controlled": lazy_gettext("{member} is not controlled by the drill runner"),
    "only_primary_steps_down": lazy_gettext("Only a primary can step down"),
    "no_guard": lazy_gettext("No guard is active to compare with"),
    "fault_not_possible": lazy_gettext("{why}"),
    "import_at_work": lazy_gettext("An import is running: {what}"),
    "another_is_primary": lazy_gettext("Only a primary can step down; the primary is {primary}"),
}
"""By the codes of ``prodcore.replicaset.diagnostic``."""

REASONS: dict[str, Any] = {
    "connection refused": lazy_gettext("connection refused"),
    "no answer in time": lazy_gettext("no answer in time"),
    "closed the connection": lazy_gettext("closed the connection"),
    "no answer": lazy_gettext("no answer"),
}
"""Why a member or service does not answer, by the words of the core; what is rarer stays in English."""


def problem_text(line: ProblemLine) -> str:
    """The sentence in the language of the page."""
    return str(SENTENCES[line.code]).format(**{name: _word(name, value) for name, value in line.facts.items()})


def drill_text(text: str) -> str:
    """Why a drill did not begin, or failed, in the language of the page where it is known."""
    sentences = {pattern: SENTENCES[code] for code, pattern in CORE_SENTENCES.items() if code in SENTENCES}
    return "; ".join(core_text(core_text(part), sentences) for part in text.split("; "))


def reason_text(reason: str) -> str:
    """Why something does not answer, in the language of the page where it is known."""
    return str(REASONS.get(reason, reason))


def _word(name: str, value: Any) -> str:
    """A fact as the language writes it."""
    if name == "role":
        return str(ALL["role_labels"].get(value, value))
    if name == "state":
        return str(ALL["service_states"].get(value, value))
    if name == "why":
        return reason_text(value)
    if isinstance(value, float):
        return show_number(round(value) if name == "megabytes" else round(value, 1))
    return str(value)


@dataclass(frozen=True, slots=True)
class Segment:
    """Neighbouring ranges of one owner; ``x`` and ``width`` in percent of the band."""

    x: float
    width: float
    shard: str
    source: str
    """From which shard to which the range moves; both empty where it does not."""
    target: str
    done: float | None
    """The share of its products that is at the target already, while they are carried there."""
    is_narrow: bool
    """Whether its name has no room on a phone."""


@dataclass(frozen=True, slots=True)
class Border:
    """Where one range ends and the next begins."""

    x: float
    text: str
    anchor: str
    row: int
    is_wide: bool
    """Whether it has no room on a phone."""


@dataclass(frozen=True, slots=True)
class Band:
    """The key space from left to right, each part as wide as it has products, and none too narrow to be seen."""

    segments: tuple[Segment, ...]
    borders: tuple[Border, ...]
    rows: int


_LEAST_PERCENT = 5.0
_ROWS = 3
_SIGN = 8.0
"""A sign of the labels is about so many pixels wide."""
_PHONE, _DESK = 270.0, 640.0
"""The pixels of a narrow band: a phone's, and that of the smallest window with room for all labels."""
_LABEL_LENGTH = 14
_SCREEN_PARTS = 60
"""More parts than that are no picture any more: the table has them."""


def draw_band(shares: Sequence[Share], orders: Sequence[MoveOrder]) -> Band | None:
    """The ranges as a band; ``orders`` are the moves that are not closed. None where it would show nothing.

    >>> from prodcore.catalog.distribution import spread
    >>> from prodcore.routing import DEFAULT_MAP
    >>> band = draw_band(spread(DEFAULT_MAP, {"rsA": 0, "rsB": 0}, {}).ranges, ())
    >>> [(s.shard, s.x, s.width) for s in band.segments], [(b.text, b.x) for b in band.borders]
    ([('rsB', 0.0, 33.3), ('rsA', 33.3, 33.3), ('rsB', 66.7, 33.3)], [('a', 33.3), ('n', 66.7)])
    """
    products = {share.part: share.products for share in shares if share.part}
    parts = joined(list(products))
    if not parts or len(parts) > _SCREEN_PARTS:
        return None
    held = [sum(count for part, count in products.items() if part.lower in wide) for wide in parts]
    ends = list(accumulate(_widths(held), initial=0.0))
    segments = [_segment(part, x, end - x, orders) for part, x, end in zip(parts, ends, ends[1:], strict=False)]
    borders, rows = _borders([(x, show_key(part.lower)) for part, x in zip(parts[1:], ends[1:], strict=False)])
    return Band(tuple(segments), borders, rows)


def _widths(held: Sequence[float]) -> list[float]:
    least = min(_LEAST_PERCENT, 50 / len(held))
    total = sum(held)
    return [least + (100 - least * len(held)) * (count / total if total else 1 / len(held)) for count in held]


def _segment(part: Range, x: float, width: float, orders: Sequence[MoveOrder]) -> Segment:
    order = next((o for o in orders if part in o.bounds), None)
    source, target = way_of(part, orders)
    done = None
    if source and order and order.wanted != "abort" and not order.carried_at:
        done = min(1.0, order.carried / order.total) if order.total else 0.0
    name = f"{source} → {target}" if source else part.shard
    is_narrow = len(name) * _SIGN > width / 100 * _PHONE
    return Segment(round(x, 1), round(width, 1), part.shard, source, target, done, is_narrow)


def way_of(part: Range, orders: Sequence[MoveOrder]) -> tuple[str, str]:
    """From which shard to which a range moves, whoever owns it just now; empty where it does not."""
    if not part.other:
        return "", ""
    order = next((o for o in orders if part in o.bounds), None)
    return (order.source, order.target) if order else (part.other, part.shard)


def _borders(places: Sequence[tuple[float, str]]) -> tuple[tuple[Border, ...], int]:
    """Labels in rows so that none covers another; what finds no room is left to the table."""
    found: list[Border] = []
    taken = {pixels: [-1.0] * _ROWS for pixels in (_PHONE, _DESK)}
    for x, key in places:
        text = key if len(key) <= _LABEL_LENGTH else f"{key[: _LABEL_LENGTH - 1]}…"
        anchor = _anchor(x / 100 * _PHONE, _wide(text) / 2)
        row = next((r for r in range(_ROWS) if _starts(x, text, anchor, _DESK) >= taken[_DESK][r]), None)
        if row is None:
            continue
        taken[_DESK][row] = _starts(x, text, anchor, _DESK) + _wide(text)
        fits = _starts(x, text, anchor, _PHONE) >= taken[_PHONE][row]
        if fits:
            taken[_PHONE][row] = _starts(x, text, anchor, _PHONE) + _wide(text)
        found.append(Border(round(x, 1), text, anchor, row, not fits))
    return tuple(found), max((border.row + 1 for border in found), default=0)


def _anchor(pixels: float, half: float) -> str:
    """How a label stands at its border, so that it does not reach over an end of the narrowest band."""
    return "start" if pixels < half else "end" if pixels > _PHONE - half else "middle"


def _wide(text: str) -> float:
    return (len(text) + 1.5) * _SIGN


def _starts(x: float, text: str, anchor: str, pixels: float) -> float:
    """Where a label begins, in pixels."""
    return x / 100 * pixels - {"start": 0.0, "middle": _wide(text) / 2, "end": _wide(text)}[anchor]


@blueprint.get("/cluster")
def overview() -> Response | str:
    """Everything at once."""
    picture = current_picture()

    def context() -> dict[str, Any]:
        holdings, moves = picture.holdings.get(), current_desk().latest_moves.get()
        shares = holdings.spread.ranges if holdings.spread else ()
        return {
            "status": picture.status.get(),
            "holdings": holdings,
            "spread": holdings.spread,
            "band": draw_band(shares, moves.open),
            "moves": moves,
            "ways": {share.part: way_of(share.part, moves.open) for share in shares if share.part},
            "now": datetime.now(UTC),
        }

    return live_page("cluster/page.html", "cluster/state.html", context, picture.status.wait)


@blueprint.get("/cluster/<name>")
def one_set(name: str) -> Response | str:
    """One replica set with everything its members tell."""
    picture = current_picture()

    def context() -> dict[str, Any]:
        holdings = picture.holdings.get()
        found = required_set(name)
        return {"status": picture.status.get(), "set": found, "holdings": holdings, "spread": holdings.spread}

    return live_page("cluster/set.html", "cluster/set_state.html", context, picture.status.wait)


@blueprint.get("/cluster/<name>/<member>")
def one_member(name: str, member: str) -> str:
    """A member with its configuration and what is wrong with it; operators see its options and its log, too."""
    found = current_picture().examine(name, member)
    mine = [p for p in found.status.problems if found.member.address in p.facts.values()]
    options, log = (found.options, found.log) if may(Right.CHANGE_SHARDS) else ({}, ())
    return render_template(
        "cluster/member.html",
        found=found,
        problems=mine,
        options=list(_flat(options)),
        log=list(islice(filter(_is_telling, map(_log_line, log)), _LOG_LINES)),
        controlled=current_desk().state.get().controlled,
    )


_LOG_LINES = 60


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a member's log."""

    at: str
    severity: str
    component: str
    text: str


def _log_line(line: str) -> LogLine:
    """A line as the server writes it, in JSON; what is none is shown as it is."""
    try:
        read = json.loads(line)
        attributes = json.dumps(read["attr"], ensure_ascii=False) if read.get("attr") else ""
        text = f"{read['msg']} {attributes}".strip()[:_LINE_LENGTH]
        return LogLine(read["t"]["$date"], read["s"], read["c"], text)
    except (ValueError, KeyError, TypeError):
        return LogLine("", "", "", line[:_LINE_LENGTH])


_LINE_LENGTH = 300


def _is_telling(line: LogLine) -> bool:
    """Whether a line is more than one of the connections that come and go all the time."""
    return line.severity != "I" or line.component not in ("NETWORK", "ACCESS", "-")


def _flat(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested options as dotted names.

    >>> list(_flat({"net": {"port": 27017, "tls": {"mode": "requireTLS"}}}))
    [('net.port', '27017'), ('net.tls.mode', 'requireTLS')]
    """
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def required_set(name: str) -> SetStatus:
    """The state of the set of this name. Raises ShardNotFound."""
    status = current_status()
    if (found := status.set(name)) is None:
        known = ", ".join(each.name for each in status.sets)
        raise ShardNotFound(f"there is no set {name}; there are {known}", shard=name)
    return found
