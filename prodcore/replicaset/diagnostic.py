"""What is wrong, and how it is said: diagnostics with a severity and a fix, and sentences about a cluster.

A sentence is plain text in English which knows its code and what it speaks of.

A door that speaks another language has a sentence of its own for each code. The text itself is what the command line
prints and what stands in JSON.

>>> line = problem_line("lag", set="rsA", member="h:1", seconds=12.04)
>>> print(line)
rsA: h:1 is 12.0 s behind the primary
>>> line.code, line.facts["seconds"]
('lag', 12.04)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


def counted(count: int, noun: str) -> str:
    """A count with its noun, one or several.

    >>> counted(1, "row"), counted(4487, "row")
    ('1 row', '4,487 rows')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


class Severity(StrEnum):
    """How much a diagnostic matters."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing to repair."""
    WARNING = "warning"
    """A risk that one may live with for a while."""
    PROBLEM = "problem"
    """To be repaired. These alone decide an exit status."""
    SKIPPED = "skipped"
    """It does not apply, or could not be examined; the text says why."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that was examined, and what to do about it: in ``doctor``, ``cluster lint`` and ``deploy status``."""

    code: str
    """Stable, in snake case: programs may ignore what they know about."""
    subject: str
    """A member, a set, a container, a file …"""
    severity: Severity
    text: str
    fix: str = ""

    def as_dict(self) -> dict[str, str | None]:
        """For JSON; ``fix`` is null where there is nothing to do."""
        return asdict(self) | {"severity": self.severity.value, "fix": self.fix or None}


def count(diagnostics: Iterable[Diagnostic], severity: Severity) -> int:
    """How many are of this severity."""
    return sum(d.severity is severity for d in diagnostics)


SENTENCES = {
    "no_member": "{set}: no member is responding",
    "no_primary": "{set}: there is no primary, so writes are not possible",
    "no_majority": "{set}: no majority: {reached} of {votes} votes can be reached, {needed} are needed",
    "stranger": "{set}: {member} is in the connection string but not a member of the set",
    "unreachable": "{set}: {member} is {role}: {why}",
    "not_working": "{set}: {member} is {role}",
    "lag": "{set}: {member} is {seconds:.1f} s behind the primary",
    "former_primary": (
        "{set}: {member} still believes it is primary in term {term}; the primary is {primary}, in term {newer}"
    ),
    "other_primary": "{set}: {member} believes {believed} is primary, not {primary}",
    "no_believed_primary": "{set}: {member} believes there is no primary, although {primary} is primary",
    "cut_off": "{set}: {member} cannot reach {other}, although it responds from here",
    "configurations": "{set}: the members hold different configurations: {told}",
    "map_unreadable": "shard map: cannot be read from {set}",
    "map_copy_differs": "shard map: {set} holds a copy of version {copy}, the stored map is version {stored}",
    "map_copy_missing": "shard map: {set} has no copy of it",
    "service": "{service}: {state}: {why}",
    "set_without_primary": "{set} has no primary",
    "majority_at_stake": "{set} would lose its majority: {working} members are running, {needed} are needed",
    "little_disk": "{set}: {member} has only {megabytes:.0f} MB of free disk",
    "not_controlled": "{member} is not controlled from this machine",
    "only_primary_steps_down": "only a primary can step down",
    "no_guard": "no guard is active to compare with: prodctl local start guard, or prodctl cluster guard",
    "fault_not_possible": "{why}",
    "import_at_work": "an import is running: {what}",
    "another_is_primary": "only a primary can step down; the primary is {primary}",
}


class ProblemLine(str):
    """The sentence."""

    __slots__ = ("code", "facts")

    code: str
    facts: Mapping[str, Any]


def problem_line(code: str, **facts: Any) -> ProblemLine:
    """The sentence of this code about these facts."""
    line = ProblemLine(SENTENCES[code].format(**facts))
    line.code, line.facts = code, facts
    return line
