"""Bringing up one replica set, new or with data, while its members are still being started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prodcore.errors import ClusterUnavailable
from prodcore.installation import Progress
from prodcore.installation.secret import Secrets
from prodcore.installation.sets import USERS_SET
from prodcore.mongo.admin.replica_set_admin import DatabaseRole, DatabaseUser, ReplicaSetAdmin, SetTiming
from prodcore.mongo.client.replica_set import Document

HEARTBEAT_MS = 250
_FAST_HEARTBEAT_MS = 10
_MAJORITY = 2  # of three members


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
        running = self._wait_majority()
        if not any(admin.is_initiated(member) for member in running):
            [last] = set(self.members) - set(running)
            self.wait_listening(last)
            if not admin.is_initiated(last):
                admin.initiate(running[0], self.timing)
        if self.needs_users:
            self._prepare_users(admin)
        admin.ensure_members(self.members, self.timing)
        admin.prove_write()

    def _wait_majority(self) -> list[str]:
        """The first two members that listen. Raises ClusterUnavailable when two of them will not."""
        running: list[str] = []
        failures: list[ClusterUnavailable] = []
        for member in self.members:
            try:
                self.wait_listening(member)
                running.append(member)
            except ClusterUnavailable as failure:
                failures.append(failure)
            if len(running) == _MAJORITY:
                return running
            if len(failures) == _MAJORITY:
                break
        raise failures[0]

    def _prepare_users(self, admin: ReplicaSetAdmin) -> None:
        primary = admin.ensure_primary()
        self.progress(self.name, f"has a primary: {primary}")
        admin.ensure_users(self.users, roles_of(self.name))
        admin.ensure_majority_default()


AUDIT_WRITER = DatabaseRole(
    "auditWriter", "audit_db", "audit", ("find", "insert", "createCollection", "createIndex", "listIndexes")
)
"""Entries of the audit are added and read, never changed or removed."""

DRILL_ORDERER = DatabaseRole("drillOrderer", "prodctl_meta", "drill_orders", ("find", "insert"))
"""webapp orders drills and carries none out: what may break a member is the drill runner's."""


SKU_CLAIMER = DatabaseRole(
    "skuClaimer", "prodctl_meta", "sku_claims", ("find", "insert", "update", "remove", "createCollection")
)
"""Who writes products claims their SKUs."""

VIEW_KEEPER = DatabaseRole("viewKeeper", "prodctl_meta", "saved_views", ("find", "insert", "update"))
"""Pages save lists under names; which user has which is webapp's to know."""

RULE_KEEPER = DatabaseRole("ruleKeeper", "products_db", "products", ("collMod",))
"""The rule by which a shard refuses what it does not own is an operator's: no router can change it."""


BACKUP_CLOCK = "backupClock"
"""A backup asks each set what time a majority has, by a write to its marks that changes nothing; it writes no more."""


def roles_of(replica_set: str) -> tuple[DatabaseRole, ...]:
    """The roles of one set that are ours, not the server's."""
    is_users = replica_set == USERS_SET
    clock = DatabaseRole(BACKUP_CLOCK, "prodctl_meta" if is_users else "products_db", "marks", ("update",))
    return (clock, AUDIT_WRITER, DRILL_ORDERER, SKU_CLAIMER, VIEW_KEEPER) if is_users else (clock, RULE_KEEPER)


def users_of(replica_set: str, secrets: Secrets) -> tuple[DatabaseUser, ...]:
    """The SCRAM users of one set and what each may do there, which is as little as it needs."""
    root = DatabaseUser("root", secrets.root, (("root", "admin"),))
    backup = DatabaseUser("backup", secrets.backup, (("backup", "admin"), (BACKUP_CLOCK, "admin")))
    watch = (("clusterMonitor", "admin"), ("clusterManager", "admin"), ("hostManager", "admin"))
    if replica_set == USERS_SET:
        return (
            root,
            backup,
            DatabaseUser(
                "web",
                secrets.web,
                (
                    ("read", "prodctl_meta"),
                    (DRILL_ORDERER.name, "admin"),
                    (SKU_CLAIMER.name, "admin"),
                    (VIEW_KEEPER.name, "admin"),
                    ("clusterMonitor", "admin"),
                ),
            ),
            DatabaseUser("auth", secrets.auth, (("readWrite", "auth_db"), (AUDIT_WRITER.name, "admin"))),
            DatabaseUser("operator", secrets.operator, (("readWrite", "prodctl_meta"), *watch)),
        )
    return (
        root,
        backup,
        DatabaseUser("web", secrets.web, (("readWrite", "products_db"), ("clusterMonitor", "admin"))),
        DatabaseUser("operator", secrets.operator, (("readWrite", "products_db"), (RULE_KEEPER.name, "admin"), *watch)),
    )
