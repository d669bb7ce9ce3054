"""The list of the doctor's checks, which fills itself: a function with ``@check(GROUP)`` on it is one.

A check gets the facts that the composition root gathers (``prodcore.app.doctor``) and yields what it found. Checks run
in the order of their groups, and within a group in the order in which they are defined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from prodcore.errors import ConfigError, ProdError, Unavailable
from prodcore.replicaset.diagnostic import Diagnostic, Severity

GROUPS = (
    "versions",
    "files",
    "settings",
    "listening",
    "containers",
    "services",
    "members",
    "layout",
    "clocks",
    "disk",
    "keys and tokens",
)
"""In the order in which they are shown."""

Facts = TypeVar("Facts")
CheckFunction = Callable[[Facts], Iterable[Diagnostic]]


@dataclass(frozen=True, slots=True)
class RegisteredCheck:
    """One check. ``needs_system``: without a cluster it is left out."""

    group: str
    run: CheckFunction[Any]
    needs_system: bool


_CHECKS: list[RegisteredCheck] = []


def check(group: str, *, needs_system: bool = True) -> Callable[[CheckFunction[Facts]], CheckFunction[Facts]]:
    """Register a function as a check of one of ``GROUPS``."""
    if group not in GROUPS:
        raise ValueError(f"{group} is not one of {', '.join(GROUPS)}")

    def register(function: CheckFunction[Facts]) -> CheckFunction[Facts]:
        _CHECKS.append(RegisteredCheck(group, function, needs_system))
        return function

    return register


def run_checks(facts: Any, *, has_system: bool) -> Iterator[tuple[str, Diagnostic]]:
    """The group and the findings of every check. What keeps a check from looking is a finding of its group."""
    for one in sorted(_CHECKS, key=lambda c: GROUPS.index(c.group)):
        if has_system or not one.needs_system:
            yield from ((one.group, found) for found in _guarded(one, facts))


def _guarded(one: RegisteredCheck, facts: Any) -> list[Diagnostic]:
    try:
        return list(one.run(facts))
    except ProdError as error:
        severity = Severity.PROBLEM if isinstance(error, Unavailable | ConfigError) else Severity.SKIPPED
        return [Diagnostic("not_examined", one.group, severity, error.message, error.hint)]
