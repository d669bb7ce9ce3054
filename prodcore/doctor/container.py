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
    for unit in sorted(expected | {u for u, state in units.items() if state == "failed"}):
        state = units.get(unit, "unknown")
        if state == "active":
            continue
        if unit in expected:
            yield Check(GROUP, name, State.PROBLEM, f"{unit} is {state}", _FIX)
        else:
            text = f"{unit} has failed"
            yield Check(GROUP, name, State.WARNING, text, f"incus exec {name} -- journalctl -u {unit}")
