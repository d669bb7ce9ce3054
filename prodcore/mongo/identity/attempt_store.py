"""Failed logins, counted per account and per address, in ``auth_db.attempts`` of rsU."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import cast

from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError

from prodcore.mongo.client.replica_set import Document, ReplicaSet

FORGOTTEN_AFTER = timedelta(hours=24)
"""When a count is removed; a limit may forget it earlier."""


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
