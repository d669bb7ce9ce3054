"""Are the installed packages, Python and mongod without known holes?

The floors of the packages are those of ``setup.cfg``, which an installed prodctl carries with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from prodcore.doctor.check import Check, State
from prodcore.replicaset.lint import floor_missed

GROUP = "versions"

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*>=\s*(?P<floor>[0-9.]+)[^;]*(?:;(?P<when>.*))?")
_EXTRA = re.compile(r"extra\s*==\s*['\"](?P<extra>[\w-]+)['\"]")
_NEEDED = {"", "server", "xlsx"}
"""What runs a system; the other extras are for building and testing it."""


def judge_packages(requirements: Iterable[str], installed: Callable[[str], str]) -> Iterator[Check]:
    """Each package below its floor. ``installed`` gives a package's version, empty where it is not there."""
    at_floor = []
    for requirement in requirements:
        match = _REQUIREMENT.fullmatch(requirement.strip())
        extra = _EXTRA.search(match["when"] or "") if match else None
        if match is None or (extra["extra"] if extra else "") not in _NEEDED:
            continue
        name, floor, version = match["name"], match["floor"], installed(match["name"])
        if version and numbers(version) < numbers(floor):
            fix = f"pip install '{name}>={floor}'; in a checkout: scripts/venv"
            yield Check(GROUP, name, State.PROBLEM, f"{version} is older than {floor}, the first that is good", fix)
        elif version:
            at_floor.append(name)
    yield Check(GROUP, "packages", State.OK, f"{len(at_floor)} at or above their floors")


def judge_mongod(version: str, where: str) -> Check:
    """Whether a mongod is new enough to be within reach of others."""
    floor = floor_missed(version)
    if not floor:
        return Check(GROUP, "mongod", State.OK, f"{version} ({where})")
    text = f"{version} ({where}) is older than {floor} and has known holes: keep it on loopback, with a keyfile"
    return Check(GROUP, "mongod", State.WARNING, text, "MongoDB's own package mongodb-org-server, and PRODCTL_MONGOD")


def numbers(version: str) -> tuple[int, ...]:
    """A version for comparison, without its zeros at the end.

    >>> numbers("3.1.10") > numbers("3.1.9"), numbers("2") == numbers("2.0.0"), numbers("5.0rc1")
    (True, True, (5,))
    """
    found = re.match(r"\d+(?:\.\d+)*", version)
    parts = [int(part) for part in found[0].split(".")] if found else []
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)
