"""Wires the stores of users: settings in, stores out. Only authsvc calls this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prodcore.app.wiring import open_replica_set
from prodcore.settings import Settings

if TYPE_CHECKING:
    from prodcore.mongo.client.replica_set import ReplicaSet
    from prodcore.mongo.identity.attempt_store import MongoAttemptStore
    from prodcore.mongo.identity.audit_store import MongoAuditStore
    from prodcore.mongo.identity.token_store import MongoInvitationStore, MongoServiceTokenStore, MongoSessionStore
    from prodcore.mongo.identity.user_store import MongoUserStore


@dataclass(frozen=True, slots=True)
class UserStores:
    """Everything about people, in rsU."""

    users: MongoUserStore
    sessions: MongoSessionStore
    attempts: MongoAttemptStore
    audit: MongoAuditStore
    tokens: MongoServiceTokenStore
    invitations: MongoInvitationStore
    replica_set: ReplicaSet

    def ensure_indexes(self) -> None:
        """Make all indexes; harmless when they exist."""
        for store in (self.users, self.sessions, self.attempts, self.audit, self.tokens, self.invitations):
            store.ensure_indexes()

    def close(self) -> None:
        """Close the connections."""
        self.replica_set.close()


def open_user_stores(settings: Settings) -> UserStores:
    """The stores on the users' replica set. Call it after the fork. Raises ConfigError without DB3_URL."""
    from prodcore.mongo.identity.attempt_store import MongoAttemptStore
    from prodcore.mongo.identity.audit_store import MongoAuditStore
    from prodcore.mongo.identity.token_store import MongoInvitationStore, MongoServiceTokenStore, MongoSessionStore
    from prodcore.mongo.identity.user_store import MongoUserStore

    users_set = open_replica_set(settings, "db3_url")
    return UserStores(
        MongoUserStore(users_set),
        MongoSessionStore(users_set),
        MongoAttemptStore(users_set),
        MongoAuditStore(users_set),
        MongoServiceTokenStore(users_set),
        MongoInvitationStore(users_set),
        users_set,
    )
