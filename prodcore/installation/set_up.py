"""Bringing up one replica set, new or with data, while its members are still being started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prodcore.installation.progress import Progress
from prodcore.installation.users import roles_of
from prodcore.mongo.admin.replica_set_admin import DatabaseUser, ReplicaSetAdmin, SetTiming
from prodcore.mongo.client.replica_set import Document

HEARTBEAT_MS = 250
_FAST_HEARTBEAT_MS = 10


@dataclass(frozen=True, slots=True)
class SetBringUp:
    """One set on its way up: ``members`` are the addresses of its three members.

    ``is_new`` when no member has data; ``needs_users`` when they may not be there yet. ``wait_listening`` returns when
    a member accepts connections, and raises when it will not.
    """

    name: str
    members: Sequence[str]
    login: Document
    users: Sequence[DatabaseUser]
    timing: SetTiming
    is_new: bool
    needs_users: bool
    wait_listening: Callable[[str], None]
    progress: Progress

    def until_writable(self, admin: ReplicaSetAdmin) -> None:
        """Until a journaled write has reached a majority of the set's three members."""
        if self.is_new:
            self._make(admin)
        else:
            self._revive(admin)
        self.progress(self.name, "takes majority writes")

    def until_complete(self, admin: ReplicaSetAdmin) -> None:
        """Until all three members take part."""
        admin.ensure_members(self.members, self.timing)
        for member in self.members:
            self.wait_listening(member)
        admin.wait_ready(self.members)
        self.progress(self.name, "has all three members")

    def open(self) -> ReplicaSetAdmin:
        """Connections to the members, as the members log in among themselves."""
        return ReplicaSetAdmin(self.name, self.members, self.login)

    def _make(self, admin: ReplicaSetAdmin) -> None:
        """One member is a set that elects itself at once; the second one copies it; the third comes later.

        A new member asks for two heartbeats before it copies, and when they have not come after some 20 ms it looks
        again after a second. So heartbeats are fast until it has begun.
        """
        first, second, *_ = self.members
        self.wait_listening(first)
        admin.initiate(first, self.timing)
        self._prepare_users(admin)
        self.wait_listening(second)
        admin.ensure_members([first, second], SetTiming(self.timing.election_timeout_ms, _FAST_HEARTBEAT_MS))
        admin.wait_copying(second)
        admin.ensure_members(self.members, self.timing)
        admin.prove_write(copies=2)

    def _revive(self, admin: ReplicaSetAdmin) -> None:
        """The members have data, perhaps of a run that was cut short."""
        first, second, third = self.members
        for member in (first, second):
            self.wait_listening(member)
        if not any(admin.is_initiated(member) for member in (first, second)):
            self.wait_listening(third)
            if not admin.is_initiated(third):
                admin.initiate(first, self.timing)
        if self.needs_users:
            self._prepare_users(admin)
        admin.ensure_members(self.members, self.timing)
        admin.prove_write()

    def _prepare_users(self, admin: ReplicaSetAdmin) -> None:
        primary = admin.ensure_primary()
        self.progress(self.name, f"has a primary: {primary}")
        admin.ensure_users(self.users, roles_of(self.name))
        admin.ensure_majority_default()
