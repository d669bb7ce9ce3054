"""The elections of a set, put together from its members' own records. Pure: documents and log lines in.

The oplog holds a note for every new primary, with time and term; the log of whoever won says why it stood.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

_WON = 21450
_CANDIDACY = "Starting an election"
_REASONS = {
    "election timeout": "no primary was seen for the election timeout",
    "step up request": "asked to run for election",
    "priority takeover": "priority takeover",
    "catchup takeover": "catch-up takeover",
}
"""By what the log says of a candidacy's cause; the words are the same in mongod 6 to 8."""

_METRIC_REASONS = {
    "electionTimeout": "no primary was seen for the election timeout",
    "stepUpRequest": "asked to run for election",
    "stepUpRequestSkipDryRun": "asked to run for election",
    "priorityTakeover": "priority takeover",
    "catchupTakeover": "catch-up takeover",
    "singleNodePromptElection": "only member",
}


@dataclass(frozen=True, slots=True)
class ElectionRecord:
    """One election; empty strings where no member remembers."""

    set_name: str
    term: int
    at: datetime | None
    old_primary: str = ""
    new_primary: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MemberRecords:
    """What one member remembers."""

    address: str
    new_primary_notes: Sequence[Mapping[str, Any]] = ()
    """Entries ``{op: "n", o: {msg: "new primary"}}`` of its oplog."""
    log_lines: Sequence[str] = ()
    candidate_metrics: Mapping[str, Any] | None = None
    """``electionCandidateMetrics`` of its ``replSetGetStatus``."""


def read_elections(set_name: str, records: Iterable[MemberRecords]) -> list[ElectionRecord]:
    """All elections that anybody remembers, the newest first."""
    found: dict[int, ElectionRecord] = {}
    for member in records:
        for note in member.new_primary_notes:
            _merge(found, ElectionRecord(set_name, int(note["t"]), note.get("wall")))
        for won in _won_elections(set_name, member):
            _merge(found, won)
    ordered = [found[term] for term in sorted(found)]
    for i, election in enumerate(ordered[1:], start=1):
        ordered[i] = replace(election, old_primary=ordered[i - 1].new_primary)
    return ordered[::-1]


def _merge(found: dict[int, ElectionRecord], new: ElectionRecord) -> None:
    old = found.get(new.term, new)
    found[new.term] = replace(
        old,
        at=old.at or new.at,
        new_primary=old.new_primary or new.new_primary,
        reason=old.reason or new.reason,
    )


def _won_elections(set_name: str, member: MemberRecords) -> Iterable[ElectionRecord]:
    reason = ""
    for line in member.log_lines:
        try:
            entry = json.loads(line)
            identity, text = int(entry["id"]), str(entry["msg"])
            moment = datetime.fromisoformat(entry["t"]["$date"])
        except (ValueError, KeyError, TypeError):
            continue
        if text.startswith(_CANDIDACY):
            reason = next((why for words, why in _REASONS.items() if words in text), "")
        elif identity == _WON:
            yield ElectionRecord(set_name, int(entry["attr"]["term"]), moment, "", member.address, reason)
            reason = ""
    metrics = member.candidate_metrics
    if metrics and metrics.get("newTermStartDate"):
        why = _METRIC_REASONS.get(metrics["lastElectionReason"], metrics["lastElectionReason"])
        term = int(metrics["electionTerm"])
        yield ElectionRecord(set_name, term, metrics["lastElectionDate"], "", member.address, why)
