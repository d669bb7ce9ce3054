"""Is everything in a container as it must be? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prodcore.doctor.check import Check, State
from prodcore.doctor.listening import Listener

GROUP = "containers"

_FIX = "prodctl deploy plan, then prodctl deploy apply"


def judge_container(
    name: str, listening: Iterable[Listener], allowed: set[Listener], units: Mapping[str, str], expected: Iterable[str]
) -> Iterator[Check]:
    """Who listens that should not, and which units are not active; or one line that all is well."""
    checks = [*_strangers(name, listening, allowed), *_units(name, units, set(expected))]
    yield from checks
    if not checks:
        text = f"{len(allowed)} listening addresses and {len(set(expected))} units, as they must be"
        yield Check(GROUP, name, State.OK, text)


def _strangers(name: str, listening: Iterable[Listener], allowed: set[Listener]) -> Iterator[Check]:
    for address, port in sorted(set(listening) - allowed):
        text = f"something listens on {address}:{port} that does not belong there"
        yield Check(GROUP, name, State.PROBLEM, text, f"incus exec {name} -- ss -ltnp says what it is")


def _units(name: str, units: Mapping[str, str], expected: set[str]) -> Iterator[Check]:
    """The expected units that are not active, in one line a state; then the others that have failed."""
    by_state: dict[str, list[str]] = {}
    for unit in sorted(expected):
        by_state.setdefault(units.get(unit, "unknown"), []).append(unit)
    for state, alike in by_state.items():
        if state != "active":
            yield Check(GROUP, name, State.PROBLEM, f"{state}: {', '.join(alike)}", _FIX)
    for unit in sorted(u for u, state in units.items() if state == "failed" and u not in expected):
        fix = f"incus exec {name} -- journalctl -u {unit}"
        yield Check(GROUP, name, State.WARNING, f"failed: {unit}", fix)
