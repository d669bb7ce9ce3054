"""What is done to one replica set from inside a container, with the release that is installed there."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prodcore.deadline import budget, remaining
from prodcore.errors import ClusterUnavailable, Unavailable
from prodcore.installation.progress import silence
from prodcore.installation.secret import Secrets
from prodcore.installation.set_up import HEARTBEAT_MS, SetBringUp
from prodcore.installation.sets import set_url
from prodcore.installation.users import roles_of, users_of
from prodcore.mongo.admin.inspection import MongoSetInspector
from prodcore.mongo.admin.replica_set_admin import ReplicaSetAdmin, SetTiming, keyfile_login
from prodcore.mongo.admin.set_check import SetCheck
from prodcore.replicaset.status import Health

_POLL_SECONDS = 0.1
_COUNTED = {"rsA": ("products_db.products",), "rsB": ("products_db.products",), "rsU": ("auth_db.users",)}
"""What a move is judged by: the rest is written while nobody works, too."""


class SetTask:
    """One set, as the request describes it."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.name: str = request["name"]
        self.members: list[str] = request["members"]
        self._login = keyfile_login(request["keyfile"])
        self._secrets = Secrets(**request["secrets"])
        self._timing = SetTiming(request["election_timeout_ms"], HEARTBEAT_MS)
        self._users = users_of(self.name, self._secrets)

    def look(self) -> dict[str, Any]:
        """What it lacks, and each member's role."""
        check = SetCheck(self.name, self.members, self._login)
        try:
            roles = check.roles()
            return {"roles": roles, "lacks": list(check.lacks(roles, self._users, roles_of(self.name), self._timing))}
        finally:
            check.close()

    def set_up(self, seconds: float) -> None:
        """Make it what it shall be, whatever there is; returns when all members take part."""
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
                progress=silence,
            )
            job.until_writable(admin)
            job.until_complete(admin)

    def count(self, seconds: float) -> dict[str, int]:
        """How many documents there are of what people have entered, by ``database.collection``."""
        with budget(seconds), self._admin() as admin:
            return {name: admin.count_documents(*name.split(".")) for name in _COUNTED[self.name]}

    def wait_healthy(self, seconds: float) -> None:
        """Return when every member is PRIMARY or SECONDARY and none lags by much. Raises Unavailable."""
        ends = time.monotonic() + seconds
        inspector = MongoSetInspector(set_url(self.name, self.members, self._secrets, "root"), ())
        while (seen := inspector.inspect()).health is not Health.HEALTHY:
            if time.monotonic() > ends:
                raise Unavailable(f"{self.name} is not healthy in time: {'; '.join(map(str, seen.problems))}")
            time.sleep(_POLL_SECONDS)

    @contextmanager
    def _admin(self) -> Iterator[ReplicaSetAdmin]:
        admin = ReplicaSetAdmin(self.name, self.members, self._login)
        try:
            yield admin
        finally:
            admin.close()


def _wait_listening(address: str) -> None:
    host, _, port = address.rpartition(":")
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1.0).close()
        except OSError as error:
            if remaining() <= 0:
                reason = (error.strerror or str(error)).lower()
                raise ClusterUnavailable(f"{address} does not begin to listen in time: {reason}") from None
            time.sleep(_POLL_SECONDS)
        else:
            return
