"""Whether the data of a deployment is what it should be, asked from inside its containers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prodcore.deploy.container import Container
from prodcore.errors import Conflict
from prodcore.installation.sets import REPLICA_SETS, USERS_SET

if TYPE_CHECKING:
    from prodcore.deploy.system import DeployedSystem

_COUNT_SECONDS = 660.0
_VERIFY_SECONDS = 6 * 3600.0

Counts = Mapping[str, Mapping[str, int]]
"""For each set the number of documents by ``database.collection``."""


def count_documents(system: DeployedSystem) -> dict[str, dict[str, int]]:
    """How many products and users each set has. Raises Unavailable."""
    requests = system.set_requests
    return {name: _ask(system, name, "count", requests[name], _COUNT_SECONDS) for name in REPLICA_SETS}


def data_problems(system: DeployedSystem, expected: Counts) -> Iterator[str]:
    """Every count that is not as expected, then what ``shard verify`` finds."""
    found = count_documents(system)
    for name, counts in expected.items():
        for collection, count in counts.items():
            if (there := found.get(name, {}).get(collection)) != count:
                yield f"{name}: {collection} has {there} documents, and had {count} when it was exported"
    report = _ask(system, USERS_SET, "verify", system.set_requests[USERS_SET], _VERIFY_SECONDS)
    yield from (f"{one['shard']}: {one['kind']}: {one['finding']}" for one in report["first"])
    if report["found"] > len(report["first"]):
        yield f"and {report['found'] - len(report['first'])} findings more: prodctl shard verify"


def _ask(system: DeployedSystem, name: str, task: str, request: dict[str, Any], seconds: float) -> Any:
    host = system.layout.set_host(name).name
    answer = Container(system.incus, host).prodctl(task, request, seconds=seconds)
    if answer is None:
        raise Conflict(f"there is no prodctl in {host}", hint="prodctl deploy apply")
    return answer
