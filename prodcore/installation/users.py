"""The database users of each set and what each may do there, which is as little as it needs."""

from __future__ import annotations

from prodcore.installation.secret import Secrets
from prodcore.installation.sets import USERS_SET
from prodcore.mongo.admin.replica_set_admin import DatabaseRole, DatabaseUser

AUDIT_WRITER = DatabaseRole(
    "auditWriter", "audit_db", "audit", ("find", "insert", "createCollection", "createIndex", "listIndexes")
)
"""Entries of the audit are added and read, never changed or removed."""

DRILL_ORDERER = DatabaseRole("drillOrderer", "prodctl_meta", "drill_orders", ("find", "insert"))
"""webapp orders drills and carries none out: what may break a member is the drill runner's."""


def roles_of(replica_set: str) -> tuple[DatabaseRole, ...]:
    """The roles of one set that are ours, not the server's."""
    return (AUDIT_WRITER, DRILL_ORDERER) if replica_set == USERS_SET else ()


def users_of(replica_set: str, secrets: Secrets) -> tuple[DatabaseUser, ...]:
    """The SCRAM users of one set and what each may do there, which is as little as it needs."""
    root = DatabaseUser("root", secrets.root, (("root", "admin"),))
    watch = (("clusterMonitor", "admin"), ("clusterManager", "admin"), ("hostManager", "admin"))
    if replica_set == USERS_SET:
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
