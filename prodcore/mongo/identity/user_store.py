"""Users, in ``auth_db.users`` of rsU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from prodcore.errors import AlreadySetUp, LastAdmin, UserExists, UserNotFound
from prodcore.identity.rights import Role
from prodcore.identity.tokens import GRACE
from prodcore.identity.users import User, fold_username
from prodcore.mongo.client.replica_set import Document, ReplicaSet

_NOTICES_KEPT = 10
_SETUP = "first_admin"
_ADMINS = "admins"
_STORED = tuple(f.name for f in fields(User) if f.name != "id")
_REMOVED_KEPT = GRACE + timedelta(hours=1)
"""A removed user leaves a mark for so long, so that every token of that user is refused until it has ended."""


class MongoUserStore:
    """All accounts. Names are unique as ``fold_username`` folds them."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._users = replica_set.collection("users", "auth_db")
        self._marks = replica_set.collection("marks", "auth_db")

    def ensure_indexes(self) -> None:
        """Make the indexes; idempotent."""
        indexes = [
            IndexModel([("name_key", ASCENDING)], name="name_key", unique=True),
            IndexModel([("changed_at", ASCENDING)], name="changed_at"),
            IndexModel([("removed_at", ASCENDING)], name="removed", expireAfterSeconds=_REMOVED_KEPT.seconds),
        ]
        self._set.write(lambda _again: self._users.create_indexes(indexes))

    def is_set_up(self) -> bool:
        """Whether there has been a first admin."""
        return self._set.read(lambda: self._marks.find_one({"_id": _SETUP})) is not None

    def add_first_admin(self, user: User) -> None:
        """Add the first user of all. Raises AlreadySetUp for whoever comes second."""

        def insert(session: ClientSession) -> None:
            self._marks.insert_one({"_id": _SETUP, "user_id": user.id}, session=session)
            self._users.insert_one(_as_document(user), session=session)

        def attempt(again: bool) -> None:
            try:
                self._in_transaction(insert)
            except DuplicateKeyError:
                mark = self._marks.find_one({"_id": _SETUP})
                if not (again and mark and mark["user_id"] == user.id):
                    raise AlreadySetUp() from None

        self._set.write(attempt, user_id=user.id)

    def add(self, user: User) -> None:
        """Add a user. Raises UserExists."""

        def attempt(again: bool) -> None:
            try:
                self._users.insert_one(_as_document(user))
            except DuplicateKeyError:
                if not (again and self._users.find_one({"_id": user.id})):
                    raise _exists(user.username) from None

        self._set.write(attempt, user_id=user.id)

    def find(self, username: str) -> User | None:
        """The user of this name, however it is spelled."""
        key = fold_username(username)
        document = self._set.read(lambda: self._users.find_one({"name_key": {"$eq": key}}))
        return _as_user(document) if document else None

    def get(self, user_id: str) -> User | None:
        """The user with this id."""
        document = self._set.read(lambda: self._users.find_one({"_id": user_id, "removed_at": None}))
        return _as_user(document) if document else None

    def all(self) -> list[User]:
        """Every user, by name."""
        documents = self._set.read(lambda: list(self._users.find({"removed_at": None}).sort("name_key", ASCENDING)))
        return [_as_user(document) for document in documents]

    def change(
        self,
        user: User,
        changes: Mapping[str, Any],
        now: datetime,
        *,
        reaches_tokens: bool = False,
        only_if: Mapping[str, Any] | None = None,
    ) -> User | None:
        """Set fields of a user; the user as it is then, None when ``only_if`` did not hold.

        ``reaches_tokens`` ends the access tokens given out so far (their holders fetch new ones). Raises UserNotFound,
        UserExists for a name that is taken.
        """
        update = _update(user, changes, now, reaches_tokens)

        def attempt(again: bool) -> Document | None:
            changed = self._change_one({"_id": user.id, "removed_at": None, **(only_if or {})}, update, changes)
            return changed or (self._changed_before(user, update) if again else None)

        changed = self._set.write(attempt, user_id=user.id)
        if changed is None and only_if is None:
            raise UserNotFound(f"there is no user {user.username!r}")
        return _as_user(changed) if changed else None

    def add_notice(self, user: User, notice: Mapping[str, Any]) -> None:
        """Keep what the owner should know of; the last ten."""
        push = {"$push": {"notices": {"$each": [dict(notice)], "$slice": -_NOTICES_KEPT}}}
        self._set.write(lambda _again: self._users.update_one({"_id": user.id}, push))

    def change_unless_last_admin(self, user: User, changes: Mapping[str, Any], now: datetime) -> User:
        """Take power away (by role, state or removal). Raises LastAdmin when no other admin is left.

        Whether the user is an admin is judged by what is stored then: ``user`` may have been read before a promotion.
        """
        update = _update(user, changes, now, reaches_tokens=True)
        admins = {"role": str(Role.ADMIN), "disabled": False, "removed_at": None}

        def guarded(session: ClientSession) -> Document | None:
            # Every such change writes this one mark, so that two at a time collide and one of them starts anew.
            self._marks.update_one({"_id": _ADMINS}, {"$inc": {"changes": 1}}, upsert=True, session=session)
            if [admin["_id"] for admin in self._users.find(admins, {"_id": 1}, limit=2, session=session)] == [user.id]:
                raise LastAdmin(f"{user.username} is the only admin who is not disabled", hint="Make another one first")
            return self._change_one({"_id": user.id, "removed_at": None}, update, changes, session)

        def attempt(again: bool) -> Document | None:
            changed: Document | None = self._in_transaction(guarded)
            return changed or (self._changed_before(user, update) if again else None)

        changed = self._set.write(attempt, user_id=user.id)
        if changed is None:
            raise UserNotFound(f"there is no user {user.username!r}")
        return _as_user(changed)

    def epochs_since(self, since: datetime) -> dict[str, int]:
        """The users whose tokens were ended since then, with the epoch that tokens must have now."""
        found = {"changed_at": {"$gte": since}}
        documents = self._set.read(lambda: list(self._users.find(found, {"epoch": 1})))
        return {d["_id"]: d["epoch"] for d in documents}

    def _changed_before(self, user: User, update: Document) -> Document | None:
        """The user as an earlier attempt left them, whose answer was lost."""
        return self._users.find_one({"_id": user.id, **update["$set"]})

    def _change_one(
        self, which: Document, update: Document, changes: Mapping[str, Any], session: ClientSession | None = None
    ) -> Document | None:
        try:
            return self._users.find_one_and_update(which, update, return_document=ReturnDocument.AFTER, session=session)
        except DuplicateKeyError:
            raise _exists(str(changes["username"])) from None

    def _in_transaction(self, steps: Any) -> Any:
        with self._set.client.start_session() as session:
            return session.with_transaction(
                steps, read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority")
            )


def _update(user: User, changes: Mapping[str, Any], now: datetime, reaches_tokens: bool) -> Document:
    values = {name: str(value) if isinstance(value, Role) else value for name, value in changes.items()}
    if "username" in values:
        values["name_key"] = fold_username(values["username"])
    if "removed_at" in values:
        values["name_key"] = f" {user.id}"  # no name folds to this, so the name is free again
    update: Document = {"$set": values, "$inc": {"version": 1}}
    if reaches_tokens:
        values["changed_at"] = now
        update["$inc"]["epoch"] = 1
    return update


def _as_document(user: User) -> Document:
    document = {"_id": user.id, **{name: getattr(user, name) for name in _STORED}}
    document |= {"role": str(user.role), "recovery_hashes": list(user.recovery_hashes), "notices": list(user.notices)}
    return document | {"name_key": fold_username(user.username)}


def _as_user(document: Document) -> User:
    values = {name: document[name] for name in _STORED if name in document}
    values |= {"role": Role(document["role"]), "recovery_hashes": tuple(document.get("recovery_hashes", ()))}
    return User(id=document["_id"], **values)


def _exists(username: str) -> UserExists:
    return UserExists(f"a user {username!r} exists already", hint="Names that differ only in case or accents are one")
