"""The composition root of what ``prodctl deploy inside`` does in a container, for the operator's prodctl outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prodcore.deadline import budget
from prodcore.errors import InvalidInput, ProdError
from prodcore.settings import Settings, load_settings

Request = Mapping[str, Any]

_LOOK_SECONDS = 4.0
_SET_UP_SECONDS = 180.0
_HEALTHY_SECONDS = 120.0
_COUNT_SECONDS = 600.0
_SHOWN_FINDINGS = 10


def run_inside(task: str, request: Request) -> dict[str, Any]:
    """Carry out one task. Raises InvalidInput for an unknown one, and whatever goes wrong in it."""
    if task not in _TASKS:
        raise InvalidInput(f"there is no task {task}; there are {', '.join(_TASKS)}")
    return _TASKS[task](request) or {}


def _look(request: Request) -> dict[str, Any]:
    """What the set lacks; with ``preparation``, also what the shard map and the indexes lack."""
    from prodcore.deploy.inside import SetTask

    answer: dict[str, Any] = {"set": SetTask(request["set"]).look()}
    if request["preparation"]:
        answer["unprepared"] = _unprepared(_operator_settings(request))
    return answer


def _unprepared(settings: Settings) -> list[tuple[str, str, str]]:
    from prodcore.app.wiring import preparation_lacks

    try:
        with budget(_LOOK_SECONDS):
            return list(preparation_lacks(settings))
    except ProdError as error:
        return [("look", "at shard map and indexes", error.message)]


def _set_up(request: Request) -> None:
    from prodcore.deploy.inside import SetTask

    SetTask(request["set"]).set_up(_SET_UP_SECONDS)


def _count(request: Request) -> dict[str, Any]:
    from prodcore.deploy.inside import SetTask

    return SetTask(request["set"]).count(_COUNT_SECONDS)


def _verify(request: Request) -> dict[str, Any]:
    """What ``shard verify`` finds: how many findings, and the first ones."""
    from prodcore.app.shards import open_shards

    looked = 0

    def note(documents: int) -> None:
        nonlocal looked
        looked = documents

    with open_shards(_operator_settings(request)) as shards:
        found = [finding.as_dict() for finding in shards.findings(note)]
    return {"documents": looked, "found": len(found), "first": found[:_SHOWN_FINDINGS]}


def _wait_healthy(request: Request) -> None:
    from prodcore.deploy.inside import SetTask

    SetTask(request["set"]).wait_healthy(_HEALTHY_SECONDS)


def _hand_over(request: Request) -> dict[str, Any]:
    """Change the primary in good order, away from the present one."""
    from prodcore.app.guard import open_switchover
    from prodcore.replicaset.switchover import switch_over

    with open_switchover(_operator_settings(request), request["set"]["name"]) as parts:
        return switch_over(parts).as_dict()


def _prepare(request: Request) -> None:
    from prodcore.app.wiring import prepare_cluster

    prepare_cluster(_operator_settings(request))


def _operator_settings(request: Request) -> Settings:
    return load_settings(**request["urls"])


_TASKS: dict[str, Callable[[Request], dict[str, Any] | None]] = {
    "look": _look,
    "set-up": _set_up,
    "count": _count,
    "verify": _verify,
    "wait-healthy": _wait_healthy,
    "hand-over": _hand_over,
    "prepare": _prepare,
}
