"""One replica set of a local cluster: its users, and bringing it up while its members are still being started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prodcore.local.plan import LocalPlan, SetMember
from prodcore.local.secret import LocalSecrets
from prodcore.local.starter import MemberStarter, Progress
from prodcore.mongo.address import Document
from prodcore.mongo.replica_set_admin import DatabaseRole, DatabaseUser, ReplicaSetAdmin, SetTiming

HEARTBEAT_MS = 250
_FAST_HEARTBEAT_MS = 10


@dataclass(frozen=True, slots=True)
class SetBringUp:
    """One set on its way up. ``is_new`` when no member has data; ``needs_users`` when they may not be there yet."""

    plan: LocalPlan
    name: str
    login: Document
    users: Sequence[DatabaseUser]
    is_new: bool
    needs_users: bool
    starter: MemberStarter
    progress: Progress

    def until_writable(self, admin: ReplicaSetAdmin) -> None:
        """Until a journaled write has reached a majority of the set's three members."""
        members = self.plan.members_of(self.name)
        if self.is_new:
            self._make(admin, members)
        else:
            self._revive(admin, members)
        self.progress(self.name, "takes majority writes")

    def until_complete(self, admin: ReplicaSetAdmin) -> None:
        """Until all three members take part."""
        members = self.plan.members_of(self.name)
        addresses = [m.address for m in members]
        admin.ensure_members(addresses, self._timing)
        for member in members:
            self.starter.wait_listening(member)
        admin.wait_ready(addresses)
        self.progress(self.name, "has all three members")

    def open(self) -> ReplicaSetAdmin:
        """Connections to the members, as the members log in among themselves."""
        return ReplicaSetAdmin(self.name, [m.address for m in self.plan.members_of(self.name)], self.login)

    @property
    def _timing(self) -> SetTiming:
        return SetTiming(self.plan.election_timeout_ms, HEARTBEAT_MS)

    def _make(self, admin: ReplicaSetAdmin, members: Sequence[SetMember]) -> None:
        """One member is a set that elects itself at once; the second one copies it; the third comes later.

        A new member asks for two heartbeats before it copies, and when they have not come after some 20 ms it looks
        again after a second. So heartbeats are fast until it has begun.
        """
        first, second, *_ = members
        self.starter.wait_listening(first)
        admin.initiate(first.address, self._timing)
        self._prepare_users(admin)
        self.starter.wait_listening(second)
        fast = SetTiming(self.plan.election_timeout_ms, _FAST_HEARTBEAT_MS)
        admin.ensure_members([first.address, second.address], fast)
        admin.wait_copying(second.address)
        admin.ensure_members([m.address for m in members], self._timing)
        admin.prove_write(copies=2)

    def _revive(self, admin: ReplicaSetAdmin, members: Sequence[SetMember]) -> None:
        """The members have data, perhaps of a run that was cut short."""
        first, second, third = members
        for member in (first, second):
            self.starter.wait_listening(member)
        if not any(admin.is_initiated(m.address) for m in (first, second)):
            self.starter.wait_listening(third)
            if not admin.is_initiated(third.address):
                admin.initiate(first.address, self._timing)
        if self.needs_users:
            self._prepare_users(admin)
        admin.ensure_members([m.address for m in members], self._timing)
        admin.prove_write()

    def _prepare_users(self, admin: ReplicaSetAdmin) -> None:
        primary = admin.ensure_primary()
        self.progress(self.name, f"has a primary: {self.plan.program(primary).name}")
        admin.ensure_users(self.users, roles_of(self.name))
        admin.ensure_majority_default()


AUDIT_WRITER = DatabaseRole(
    "auditWriter", "audit_db", "audit", ("find", "insert", "createCollection", "createIndex", "listIndexes")
)
"""Entries of the audit are added and read, never changed or removed."""


DRILL_ORDERER = DatabaseRole("drillOrderer", "prodctl_meta", "drill_orders", ("find", "insert"))
"""webapp orders drills and carries none out: what may break a member is the drill runner's."""


def roles_of(replica_set: str) -> tuple[DatabaseRole, ...]:
    """The roles of one set that are ours, not the server's."""
    return (AUDIT_WRITER, DRILL_ORDERER) if replica_set == "rsU" else ()


def users_of(replica_set: str, secrets: LocalSecrets) -> tuple[DatabaseUser, ...]:
    """The SCRAM users of one set and what each may do there, which is as little as it needs."""
    root = DatabaseUser("root", secrets.root, (("root", "admin"),))
    watch = (("clusterMonitor", "admin"), ("clusterManager", "admin"), ("hostManager", "admin"))
    if replica_set == "rsU":
        return (
            root,
            DatabaseUser(
                "web",
                secrets.web,
                (("read", "prodctl_meta"), (DRILL_ORDERER.name, "admin"), ("clusterMonitor", "admin")),
            ),
            DatabaseUser("auth", secrets.auth, (("readWrite", "auth_db"), (AUDIT_WRITER.name, "admin"))),
            DatabaseUser("operator", secrets.operator, (("readWrite", "prodctl_meta"), *watch)),
        )
    return (
        root,
        DatabaseUser("web", secrets.web, (("readWrite", "products_db"), ("clusterMonitor", "admin"))),
        DatabaseUser("operator", secrets.operator, (("readWrite", "products_db"), *watch)),
    )
