"""The audit: who did what to whom or what, when and from where, in ``audit_db.audit`` of rsU.

Only ever added to: authsvc's database user has no right to change or remove an entry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import DESCENDING, IndexModel
from pymongo.errors import BulkWriteError

from prodcore.mongo.client.replica_set import ReplicaSet

_DUPLICATE_KEY = 11000
_SHORT_ID = re.compile("[0-9a-f]{8}[0-9a-f-]{0,23}")


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
