"""What ``prodctl deploy inside`` does in a container, with the release installed there, for the operator outside."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prodcore.deadline import budget, remaining
from prodcore.errors import ClusterUnavailable, Conflict, InvalidInput, ProdError, Unavailable
from prodcore.installation import no_progress
from prodcore.installation.secret import Secrets
from prodcore.installation.set_up import HEARTBEAT_MS, SetBringUp, roles_of, users_of
from prodcore.installation.sets import USERS_SET, set_url
from prodcore.mongo.admin.inspection import MongoSetInspector, SetCheck
from prodcore.mongo.admin.replica_set_admin import ReplicaSetAdmin, SetTiming, keyfile_login
from prodcore.replicaset.status import Health
from prodcore.settings import Settings, load_settings

Request = Mapping[str, Any]

_OBSERVE_SECONDS = 15.0
_SET_UP_SECONDS = 180.0
_HEALTHY_SECONDS = 120.0
_COUNT_SECONDS = 600.0
_SHOWN_FINDINGS = 10
_POLL_SECONDS = 0.1
_ANSWERS = ("not initiated", "no member")
"""Of a member that answers and has no state; states are in capitals."""
_COUNTED_USERS, _COUNTED_PRODUCTS = "auth_db.users", "products_db.products"
"""What a move is judged by: the rest is also written by the system itself."""


def run_inside(task: str, request: Request) -> dict[str, Any]:
    """Carry out one task. Raises InvalidInput for an unknown one, and whatever goes wrong in it."""
    if task not in _TASKS:
        raise InvalidInput(f"there is no task {task}; there are {', '.join(_TASKS)}")
    return _TASKS[task](request) or {}


def _observe(request: Request) -> dict[str, Any]:
    """What the set lacks; with ``preparation``, also what the shard map and the indexes lack."""

    answer: dict[str, Any] = {"set": SetTask(request["set"]).observe()}
    if request["preparation"]:
        answer["preparation"] = _preparation(_operator_settings(request))
    return answer


def _preparation(settings: Settings) -> dict[str, Any]:
    from prodcore.app.wiring import preparation_lacks

    try:
        with budget(_OBSERVE_SECONDS):
            return {"missing": list(preparation_lacks(settings))}
    except ProdError as error:
        return {"unknown": error.message}


def _set_up(request: Request) -> None:

    SetTask(request["set"]).set_up(_SET_UP_SECONDS)


def _count(request: Request) -> dict[str, Any]:

    return SetTask(request["set"]).count(_COUNT_SECONDS)


def _verify(request: Request) -> dict[str, Any]:
    """What ``shard verify`` finds: how many findings, and the first ones."""
    from prodcore.app.shards import open_shards

    examined = 0

    def note(documents: int) -> None:
        nonlocal examined
        examined = documents

    with open_shards(_operator_settings(request)) as shards:
        found = [finding.as_dict() for finding in shards.findings(note)]
    return {"documents": examined, "found": len(found), "first": found[:_SHOWN_FINDINGS]}


def _check_unused(request: Request) -> dict[str, Any]:
    """Nothing where a shard is in use by nobody; else why it cannot be removed, and what helps."""
    from prodcore.app.shards import check_unused

    try:
        check_unused(_operator_settings(request), request["shard"])
    except Conflict as refused:
        return {"refusal": refused.message, "hint": refused.hint}
    return {}


def _wait_healthy(request: Request) -> None:

    SetTask(request["set"]).wait_healthy(_HEALTHY_SECONDS)


def _hand_over(request: Request) -> dict[str, Any]:
    """Hand a set over to another primary."""
    from prodcore.app.cluster import open_switchover
    from prodcore.replicaset.switchover import switch_over

    with open_switchover(_operator_settings(request), request["set"]["name"]) as parts:
        return switch_over(parts).as_dict()


def _prepare(request: Request) -> None:
    from prodcore.app.wiring import prepare_cluster

    prepare_cluster(_operator_settings(request))


def _operator_settings(request: Request) -> Settings:
    return load_settings(**request["urls"])


_TASKS: dict[str, Callable[[Request], dict[str, Any] | None]] = {
    "observe": _observe,
    "set-up": _set_up,
    "count": _count,
    "verify": _verify,
    "check-unused": _check_unused,
    "wait-healthy": _wait_healthy,
    "hand-over": _hand_over,
    "prepare": _prepare,
}


class SetTask:
    """One set, as the request describes it."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.name: str = request["name"]
        self.members: list[str] = request["members"]
        self._ca_file: str = request.get("ca_file", "")
        tls = {"tls": True, "tlsCAFile": self._ca_file} if self._ca_file else {}
        self._login = keyfile_login(request["keyfile"]) | tls
        self._shown: Mapping[str, str] = request.get("shown", {})
        self._secrets = Secrets(**request["secrets"])
        self._timing = SetTiming(request["election_timeout_ms"], HEARTBEAT_MS)
        self._users = users_of(self.name, self._secrets)

    def observe(self) -> dict[str, Any]:
        """What it lacks, and each member's role."""
        if self._ca_file and not Path(self._ca_file).exists():
            return {"unknown": "its certificates are not in place yet"}
        check = SetCheck(self.name, self.members, self._login)
        try:
            roles = check.roles()
            if not any(role in _ANSWERS or role.isupper() for role in roles.values()):
                return {"roles": roles, "unknown": f"no member is responding: {next(iter(roles.values()))}"}
            return {
                "roles": roles,
                "missing": [*check.lacks(roles, self._users, roles_of(self.name), self._timing), *self._certificates()],
            }
        finally:
            check.close()

    def _certificates(self) -> Iterator[tuple[str, str, str]]:
        yield from (("renew", f"the certificate of {member}", "it presents another one") for member in self._stale())

    def _stale(self) -> list[str]:
        """Members that show another certificate than they shall."""
        if not self._shown:
            return []
        from prodcore.installation.certificates import shown_fingerprint

        seen = {member: shown_fingerprint(*_split(member)) for member in self._shown}
        return [member for member, fingerprint in seen.items() if fingerprint not in ("", self._shown[member])]

    def set_up(self, seconds: float) -> None:
        """Bring it into its desired state, whatever there is; returns when all members take part."""
        with budget(seconds), self._admin() as admin:
            for member in self.members:
                _wait_listening(member)
            admin.follow_move()
            job = SetBringUp(
                self.name,
                self.members,
                self._login,
                self._users,
                self._timing,
                is_new=not any(admin.is_initiated(member) for member in self.members),
                needs_users=True,
                wait_listening=_wait_listening,
                progress=no_progress,
            )
            for member in self._stale():
                admin.rotate_certificates(member)
            job.until_writable(admin)
            job.until_complete(admin)

    def count(self, seconds: float) -> dict[str, int]:
        """How many documents there are of what users have entered, by ``database.collection``."""
        with budget(seconds), self._admin() as admin:
            name = _COUNTED_USERS if self.name == USERS_SET else _COUNTED_PRODUCTS
            return {name: admin.count_documents(*name.split("."))}

    def wait_healthy(self, seconds: float) -> None:
        """Return when every member is PRIMARY or SECONDARY and none lags by much. Raises Unavailable."""
        ends = time.monotonic() + seconds
        inspector = MongoSetInspector(set_url(self.name, self.members, self._secrets, "root", self._ca_file), ())
        while (observed := inspector.inspect()).health is not Health.HEALTHY:
            if time.monotonic() > ends:
                raise Unavailable(
                    f"{self.name} did not become healthy in time: {'; '.join(map(str, observed.problems))}"
                )
            time.sleep(_POLL_SECONDS)

    @contextmanager
    def _admin(self) -> Iterator[ReplicaSetAdmin]:
        admin = ReplicaSetAdmin(self.name, self.members, self._login)
        try:
            yield admin
        finally:
            admin.close()


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _wait_listening(address: str) -> None:
    while True:
        try:
            socket.create_connection(_split(address), timeout=1.0).close()
        except OSError as error:
            if remaining() <= 0:
                reason = (error.strerror or str(error)).lower()
                raise ClusterUnavailable(f"{address} did not start to listen in time: {reason}") from None
            time.sleep(_POLL_SECONDS)
        else:
            return
