"""Holding the ledger against what every member has. Pure.

A record is written by one writer, one request after the other, so what it may hold is known exactly: what the last
acknowledged request left, or what a later request of unknown outcome would have left.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prodcore.drill.ledger import Attempt, RequestOutcome, State

_EXAMPLES = 10


@dataclass(frozen=True, slots=True)
class Found:
    """A record as one member holds it, in a majority read."""

    record: UUID
    state: State


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of every attempt."""

    acknowledged: int
    moved: int
    """Acknowledged renames to another set, of those."""
    refused: int
    unknown: int
    lost: int
    """Acknowledged, and not there: a create, an edit or a delete that some member does not show."""
    duplicated: int
    """There more than once: in two sets, or one name under two ids."""
    wrong: int
    """There with a content, in a version or in a set that no request of unknown outcome explains."""
    contradicted: int
    """Told that nothing happened, and there all the same."""
    phantom: int
    """Of unknown outcome, and there: allowed, and counted."""
    examples: tuple[str, ...] = ()
    retries: int = 0
    """How often the load's clients sent something again. What webapp repeats by itself is inside its answers."""

    @property
    def failed(self) -> int:
        """Requests that did not end with an acknowledgement."""
        return self.refused + self.unknown

    @property
    def broken(self) -> int:
        """How many times a promise was broken."""
        return self.lost + self.duplicated + self.wrong + self.contradicted

    def as_dict(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "examples"} | {
            "failed": self.failed,
            "examples": list(self.examples),
        }


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a record may be: one of these states; None stands for "not there"."""

    allowed: frozenset[State | None]
    refused: frozenset[State]
    """States that only a refused request would have made."""
    uncertain: frozenset[State | None]
    """The allowed ones that come from requests of unknown outcome."""


def expect(attempts: Sequence[Attempt]) -> Expectation:
    """What one record may be after these write attempts, in their order."""
    allowed: set[State | None] = {None}
    refused: set[State] = set()
    uncertain: set[State | None] = set()
    for attempt in attempts:
        if attempt.outcome is RequestOutcome.ACKNOWLEDGED:
            allowed, uncertain = {attempt.state}, set()
        elif attempt.outcome is RequestOutcome.UNKNOWN:
            allowed.add(attempt.state)
            uncertain.add(attempt.state)
        elif attempt.state is not None:
            refused.add(attempt.state)
    return Expectation(frozenset(allowed), frozenset(refused - allowed), frozenset(uncertain))


def judge(attempts: Iterable[Attempt], found: Mapping[str, Mapping[str, Sequence[Found]]]) -> Verdict:
    """Judge every record by what each member of each set holds: ``{set: {member: records}}``."""
    by_record: dict[UUID, list[Attempt]] = defaultdict(list)
    outcomes: Counter[RequestOutcome] = Counter()
    moved = retries = 0
    for attempt in attempts:
        outcomes[attempt.outcome] += 1
        retries += attempt.retries
        moved += attempt.crosses and attempt.outcome is RequestOutcome.ACKNOWLEDGED
        if attempt.is_write:
            by_record[attempt.record].append(attempt)
    holders, names = _index(found)
    counts: Counter[str] = Counter()
    examples: list[str] = []
    for record, tries in by_record.items():
        for kind, text in _judge_record(expect(tries), found, holders.get(record, {})):
            counts[kind] += 1
            if kind != "phantom":
                examples.append(f"{kind}: {record}: {text}")
    for name, records in names.items():
        if len(records) > 1:
            counts["duplicated"] += 1
            examples.append(f"duplicated: the name {name!r} is held by {len(records)} records")
    return Verdict(
        outcomes[RequestOutcome.ACKNOWLEDGED],
        moved,
        outcomes[RequestOutcome.REFUSED],
        outcomes[RequestOutcome.UNKNOWN],
        **{kind: counts[kind] for kind in ("lost", "duplicated", "wrong", "contradicted", "phantom")},
        examples=tuple(examples[:_EXAMPLES]),
        retries=retries,
    )


Holders = dict[tuple[str, str], list[State]]
"""Who holds a record: (set, member) → what is found there."""


def _index(found: Mapping[str, Mapping[str, Sequence[Found]]]) -> tuple[dict[UUID, Holders], dict[str, set[UUID]]]:
    """Holders by record, and records by name."""
    holders: dict[UUID, Holders] = defaultdict(lambda: defaultdict(list))
    names: dict[str, set[UUID]] = defaultdict(set)
    for set_name, members in found.items():
        for member, records in members.items():
            for item in records:
                holders[item.record][set_name, member].append(item.state)
                names[item.state.name].add(item.record)
    return holders, names


def _judge_record(
    expected: Expectation, found: Mapping[str, Mapping[str, Sequence[Found]]], holders: Holders
) -> Iterable[tuple[str, str]]:
    """What is wrong with one record, at most once a kind."""
    sets = {set_name for set_name, _member in holders}
    if len(sets) > 1:
        yield "duplicated", f"it is in {' and '.join(sorted(sets))}"
    states: set[State | None] = {state for held in holders.values() for state in held}
    at = sets or {state.set_name for state in expected.allowed if state}
    missing = sorted(member for name in at for member in found.get(name, {}) if (name, member) not in holders)
    if not holders or (len(sets) == 1 and missing):
        states.add(None)
    if None in states and None not in expected.allowed:
        yield "lost", f"acknowledged, but missing on {', '.join(missing) or 'every member'}"
    for state in states - expected.allowed - {None}:
        if state in expected.refused:
            yield "contradicted", f"refused, but stored: {state}"
        elif expected.allowed == {None}:
            yield "lost", "its delete was acknowledged, but it is still stored"
        else:
            yield "wrong", f"it holds {state}, allowed is {sorted(map(str, expected.allowed))}"
    if states & expected.uncertain - {None}:
        yield "phantom", "of unknown outcome, but stored"
