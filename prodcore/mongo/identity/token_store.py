"""Sessions, service tokens and invitations, in ``auth_db`` of rsU. Of their secrets only hashes are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, IndexModel, ReturnDocument, UpdateOne
from pymongo.errors import DuplicateKeyError

from prodcore.errors import TokenExists
from prodcore.identity.rights import Right, Role
from prodcore.identity.users import ServiceToken, Session
from prodcore.mongo.client.replica_set import Document, ReplicaSet

_STORED = tuple(f.name for f in fields(ServiceToken) if f.name != "id")
_LISTED_AFTER_END = timedelta(days=90)


class MongoServiceTokenStore:
    """Every service token; one that has ended is listed for some time more, and its name is free again."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._tokens = replica_set.collection("service_tokens", "auth_db")

    def ensure_indexes(self) -> None:
        """Make the indexes; idempotent."""
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
        """Make the index; idempotent."""
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


_SESSION_FIELDS = tuple(f.name for f in fields(Session) if f.name != "id")


class MongoSessionStore:
    """Every login that lives, and those that were ended for as long as tokens of theirs may be shown."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._sessions = replica_set.collection("sessions", "auth_db")
        self._spent = replica_set.collection("spent_refresh_tokens", "auth_db")

    def ensure_indexes(self) -> None:
        """Make the indexes; idempotent."""
        sessions = [
            IndexModel([("refresh_hash", ASCENDING)], name="refresh_hash", unique=True),
            IndexModel([("previous_hash", ASCENDING)], name="previous_hash", sparse=True),
            IndexModel([("user_id", ASCENDING)], name="user_id"),
            IndexModel([("revoked_at", ASCENDING)], name="revoked_at", sparse=True),
            IndexModel([("purge_at", ASCENDING)], name="purge_at", expireAfterSeconds=0),
        ]
        spent = [IndexModel([("purge_at", ASCENDING)], name="purge_at", expireAfterSeconds=0)]
        self._set.write(lambda _again: self._sessions.create_indexes(sessions))
        self._set.write(lambda _again: self._spent.create_indexes(spent))

    def add(self, session: Session) -> None:
        """Store a new session."""
        document = {"_id": session.id, **{name: getattr(session, name) for name in _SESSION_FIELDS}}
        document |= {"purge_at": session.expires_at}
        for absent in [name for name in ("previous_hash", "used_at", "revoked_at") if document[name] is None]:
            del document[absent]  # their indexes are sparse

        def attempt(again: bool) -> None:
            try:
                self._sessions.insert_one(document)
            except DuplicateKeyError:
                if not again:
                    raise

        self._set.write(attempt, session_id=session.id)

    def get(self, session_id: str) -> Session | None:
        """The session with this id."""
        document = self._set.read(lambda: self._sessions.find_one({"_id": session_id}))
        return _as_session(document) if document else None

    def find_by_refresh(self, token_hash: str) -> Session | None:
        """The session whose current or last refresh token has this hash, or an earlier one that was spent."""
        either = {"$or": [{"refresh_hash": token_hash}, {"previous_hash": token_hash}]}
        document = self._set.read(lambda: self._sessions.find_one(either))
        if document is None and (spent := self._set.read(lambda: self._spent.find_one({"_id": token_hash}))):
            document = self._set.read(lambda: self._sessions.find_one({"_id": spent["session_id"]}))
        return _as_session(document) if document else None

    def rotate(self, session: Session, successor_hash: str, now: datetime) -> Session:
        """Replace the refresh token; the session as it is then, whoever was first."""
        spent = {"session_id": session.id, "purge_at": session.expires_at}
        self._set.write(
            lambda _again: self._spent.update_one({"_id": session.refresh_hash}, {"$setOnInsert": spent}, upsert=True)
        )
        changes = {
            "refresh_hash": successor_hash,
            "previous_hash": session.refresh_hash,
            "rotated_at": now,
            "last_used_at": now,
        }

        def attempt(_again: bool) -> Document | None:
            mine = {"_id": session.id, "refresh_hash": session.refresh_hash, "revoked_at": None}
            return self._sessions.find_one_and_update(mine, {"$set": changes}, return_document=ReturnDocument.AFTER)

        changed = self._set.write(attempt, session_id=session.id)
        if changed is None:  # another request with the same token was faster, or the session has ended
            changed = self._set.read(lambda: self._sessions.find_one({"_id": session.id}))
        return _as_session(changed) if changed else session

    def note_use(self, uses: Mapping[str, datetime]) -> None:
        """Keep, by session, when an access token that was used had been issued."""
        if uses:
            writes = [UpdateOne({"_id": sid}, {"$max": {"used_at": issued_at}}) for sid, issued_at in uses.items()]
            self._set.write(lambda _again: self._sessions.bulk_write(writes, ordered=False))

    def live_of(self, user_id: str, now: datetime) -> list[Session]:
        """A user's sessions that have not ended, the last used first."""
        wanted = {"user_id": user_id, "revoked_at": None, "expires_at": {"$gt": now}}
        documents = self._set.read(lambda: list(self._sessions.find(wanted).sort("last_used_at", -1)))
        return [_as_session(document) for document in documents]

    def revoke(self, now: datetime, purge_at: datetime, **which: Any) -> int:
        """End the sessions with these fields (``id``, ``user_id``, ``keep`` = not this one); how many ended."""
        wanted: Document = {"revoked_at": None}
        if "id" in which:
            wanted["_id"] = which["id"]
        if "user_id" in which:
            wanted["user_id"] = which["user_id"]
        if which.get("keep"):
            wanted["_id"] = {"$ne": which["keep"]}
        ended = {"$set": {"revoked_at": now, "purge_at": purge_at}}
        return self._set.write(lambda _again: self._sessions.update_many(wanted, ended)).modified_count

    def revoked_since(self, since: datetime) -> list[str]:
        """The sessions that were ended since then."""
        found = {"revoked_at": {"$gte": since}}
        return [d["_id"] for d in self._set.read(lambda: list(self._sessions.find(found, {"_id": 1})))]


def _as_session(document: Document) -> Session:
    return Session(id=document["_id"], **{name: document[name] for name in _SESSION_FIELDS if name in document})
