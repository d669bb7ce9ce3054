"""Service tokens and invitations, in ``auth_db`` of rsU. Of their secrets only hashes are stored."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime, timedelta

from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from prodcore.errors import TokenExists
from prodcore.identity.rights import Right, Role
from prodcore.identity.users import ServiceToken
from prodcore.mongo.client.replica_set import Document, ReplicaSet

_STORED = tuple(f.name for f in fields(ServiceToken) if f.name != "id")
_LISTED_AFTER_END = timedelta(days=90)


class MongoServiceTokenStore:
    """Every service token; one that has ended is listed for some time more, and its name is free again."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._tokens = replica_set.collection("service_tokens", "auth_db")

    def ensure_indexes(self) -> None:
        """Make the indexes; harmless when they exist."""
        indexes = [
            IndexModel([("live_name", ASCENDING)], name="live_name", unique=True),
            IndexModel([("secret_hash", ASCENDING)], name="secret_hash", unique=True),
            IndexModel([("purge_at", ASCENDING)], name="purge_at", expireAfterSeconds=0),
        ]
        self._set.write(lambda _again: self._tokens.create_indexes(indexes))

    def add(self, token: ServiceToken) -> None:
        """Store a new token. Raises TokenExists."""
        document = {"_id": token.id, **{name: getattr(token, name) for name in _STORED}}
        document |= {
            "scopes": sorted(token.scopes),
            "live_name": token.name,
            "purge_at": token.expires_at + _LISTED_AFTER_END,
        }

        def attempt(again: bool) -> None:
            try:
                self._tokens.insert_one(document)
            except DuplicateKeyError:
                if not (again and self._tokens.find_one({"_id": token.id})):
                    raise TokenExists(f"a token {token.name!r} exists already", hint="Revoke it first") from None

        self._set.write(attempt, token_name=token.name)

    def all(self) -> list[ServiceToken]:
        """Every token, by name."""
        return [_as_token(d) for d in self._set.read(lambda: list(self._tokens.find().sort("name", ASCENDING)))]

    def use(self, secret_hash: str, now: datetime) -> ServiceToken | None:
        """The token with this secret, if it is in force; notes that it was used."""
        live = {"secret_hash": secret_hash, "revoked_at": None, "expires_at": {"$gt": now}}
        used = {"$set": {"last_used_at": now}}
        found: Document | None = self._set.write(lambda _again: self._tokens.find_one_and_update(live, used))
        return _as_token(found) if found else None

    def is_live(self, token_id: str, now: datetime) -> bool:
        """Whether the token is in force."""
        live = {"_id": token_id, "revoked_at": None, "expires_at": {"$gt": now}}
        return self._set.read(lambda: self._tokens.find_one(live, {"_id": 1})) is not None

    def revoke(self, name: str, now: datetime) -> bool:
        """End the token of this name; False when there is none."""

        def attempt(again: bool) -> bool:
            live = {"live_name": {"$eq": name}}
            found = self._tokens.find_one(live, {"_id": 1})
            if found is None:
                return again and self._tokens.find_one({"name": {"$eq": name}, "revoked_at": {"$gte": now}}) is not None
            ended = {"$set": {"revoked_at": now, "live_name": f" {found['_id']}"}}
            return self._tokens.update_one({"_id": found["_id"], "revoked_at": None}, ended).modified_count == 1

        return self._set.write(attempt, token_name=name)

    def revoked_since(self, since: datetime) -> list[str]:
        """The tokens that were ended since then."""
        found = {"revoked_at": {"$gte": since}}
        return [d["_id"] for d in self._set.read(lambda: list(self._tokens.find(found, {"_id": 1})))]


class MongoInvitationStore:
    """Invitations to register; each serves once."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._invitations = replica_set.collection("invitations", "auth_db")

    def ensure_indexes(self) -> None:
        """Make the index; harmless when it exists."""
        index = IndexModel([("expires_at", ASCENDING)], name="expires_at", expireAfterSeconds=0)
        self._set.write(lambda _again: self._invitations.create_indexes([index]))

    def add(self, code_hash: str, role: Role, created_by: str, expires_at: datetime) -> None:
        """Store an invitation."""
        document = {"role": str(role), "created_by": created_by, "expires_at": expires_at, "used_by": None}
        self._set.write(
            lambda _again: self._invitations.update_one({"_id": code_hash}, {"$setOnInsert": document}, upsert=True)
        )

    def claim(self, code_hash: str, user_id: str, now: datetime) -> Role | None:
        """Take an invitation for one user; its role, None when there is no such invitation (any more)."""
        free = {"_id": code_hash, "expires_at": {"$gt": now}, "used_by": {"$in": [None, user_id]}}
        mine = {"$set": {"used_by": user_id}}
        found: Document | None = self._set.write(lambda _again: self._invitations.find_one_and_update(free, mine))
        return Role(found["role"]) if found else None

    def give_back(self, code_hash: str, user_id: str) -> None:
        """The user could not be made: the invitation is good for another try."""
        self._set.write(
            lambda _again: self._invitations.update_one(
                {"_id": code_hash, "used_by": user_id}, {"$set": {"used_by": None}}
            )
        )


def _as_token(document: Document) -> ServiceToken:
    values = {name: document[name] for name in _STORED if name in document}
    return ServiceToken(id=document["_id"], **values | {"scopes": frozenset(map(Right, document["scopes"]))})
