"""What is kept of logins and deeds in rsU: the audit, and counts of failed logins.

The audit (who did what to whom or what, when and from where: ``audit_db.audit``) is only ever added to: authsvc's
database user has no right to change or remove an entry. Attempts are counted per account and per address, in
``auth_db.attempts``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError

from prodcore.mongo.client.replica_set import Document, ReplicaSet

_DUPLICATE_KEY = 11000
_SHORT_ID = re.compile("[0-9a-f]{8}[0-9a-f-]{0,23}")
FORGOTTEN_AFTER = timedelta(hours=24)
"""When a count of attempts is removed; a limit may forget it earlier."""


class MongoAuditStore:
    """Adds entries and lists them. Each has an id of its own, so an entry that is sent twice is kept once."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._entries = replica_set.collection("audit", "audit_db")

    def ensure_indexes(self) -> None:
        """Make the index; idempotent."""
        newest_first = [IndexModel([("at", DESCENDING), ("_id", DESCENDING)], name="at")]
        self._set.write(lambda _again: self._entries.create_indexes(newest_first))

    def add(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Keep these entries."""
        if not entries:
            return

        def attempt(_again: bool) -> None:
            try:
                self._entries.insert_many([dict(entry) for entry in entries], ordered=False)
            except BulkWriteError as error:
                if any(e["code"] != _DUPLICATE_KEY for e in error.details.get("writeErrors", [])):
                    raise

        self._set.write(attempt)

    def list(
        self, since: datetime | None, limit: int, before: datetime | None = None, **equal: str
    ) -> list[dict[str, Any]]:
        """The newest entries first; ``equal`` are fields and the values that they must have.

        Of a subject that is an id, its beginning of eight characters or more is enough.
        """
        bounds = {**({"$gte": since} if since else {}), **({"$lt": before} if before else {})}
        wanted: dict[str, Any] = {name: {"$eq": value} for name, value in equal.items()}
        if _SHORT_ID.fullmatch(short := equal.get("subject", "")):
            rest = f"[0-9a-f-]{{{32 - len(short)},{36 - len(short)}}}"
            wanted["subject"] = {"$in": [short, re.compile(f"^{short}{rest}$")]}
        if bounds:
            wanted["at"] = bounds
        found = self._set.read(
            lambda: list(self._entries.find(wanted).sort([("at", DESCENDING), ("_id", DESCENDING)]).limit(limit))
        )
        return [{("id" if k == "_id" else k): v for k, v in entry.items()} for entry in found]


class MongoAttemptStore:
    """Counts an attempt as failed when it begins, in one atomic step, so that many at a time cannot slip through."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._attempts = replica_set.collection("attempts", "auth_db")

    def ensure_indexes(self) -> None:
        """Make the index; idempotent."""
        index = IndexModel(
            [("last_at", ASCENDING)], name="last_at", expireAfterSeconds=int(FORGOTTEN_AFTER.total_seconds())
        )
        self._set.write(lambda _again: self._attempts.create_indexes([index]))

    def begin(
        self, key: str, now: datetime, free: int, longest: timedelta, forgotten_after: timedelta
    ) -> timedelta | None:
        """Count an attempt of ``key``; None when it may go on, else how long it must wait (and is not counted).

        The first ``free`` attempts go on at once; then each doubles the wait before the next, up to ``longest``. After
        ``forgotten_after`` without an attempt the count starts anew.
        """
        is_recent = {"$gt": ["$last_at", now - forgotten_after]}
        count = {"$add": [{"$cond": [is_recent, "$count", 0]}, 1]}
        doubled = {"$pow": [2, {"$min": [{"$subtract": [count, free]}, 30]}]}
        wait_ms = {"$multiply": [1000, {"$min": [doubled, longest.total_seconds()]}]}
        open_again = {"$cond": [{"$lt": [count, free]}, now, {"$add": [now, wait_ms]}]}
        taken = {"count": count, "last_at": now, "open_at": open_again, "refused": False}
        refused = {"count": "$count", "last_at": "$last_at", "open_at": "$open_at", "refused": True}
        closed = {"$gt": [{"$ifNull": ["$open_at", now]}, now]}
        update = [{"$replaceWith": {"$mergeObjects": [{"_id": key}, {"$cond": [closed, refused, taken]}]}}]

        def attempt(_again: bool) -> Document:
            document = self._attempts.find_one_and_update(
                {"_id": key}, update, upsert=True, return_document=ReturnDocument.AFTER
            )
            return cast("Document", document)  # an upsert always finds one

        try:
            document = self._set.write(attempt)
        except DuplicateKeyError:  # two first attempts at the same moment
            document = self._set.write(attempt)
        return document["open_at"] - now if document["refused"] else None

    def forget(self, key: str) -> None:
        """An attempt was right, and this key is one person's: start anew."""
        self._set.write(lambda _again: self._attempts.delete_one({"_id": key}))

    def take_back(self, key: str) -> None:
        """An attempt was not wrong: it does not count."""
        back = {"$inc": {"count": -1}, "$unset": {"open_at": ""}}
        self._set.write(lambda _again: self._attempts.update_one({"_id": key, "count": {"$gt": 0}}, back))
