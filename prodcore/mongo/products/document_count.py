"""How many documents a collection holds: no scan for each question, and right after a crash too."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from bson.min_key import MinKey

from prodcore.mongo.client.replica_set import ReplicaSet

_UNSETTLED_SECONDS = 30.0
"""How long a difference serves that was taken while others wrote, and so may be off by what they wrote."""


@dataclass(frozen=True, slots=True)
class _Difference:
    """By how much a primary's own number is wrong."""

    primary: object
    documents: int
    good_until: float


class DocumentCount:
    """A primary keeps a number of its own, and one that was killed comes back with an old one, for good.

    So documents are counted once after each election, along the index of ids, and what the primary's number differs by
    is remembered: later questions cost nothing.
    """

    def __init__(self, replica_set: ReplicaSet, name: str) -> None:
        self._set = replica_set
        self._name = name
        self._difference: _Difference | None = None

    def now(self) -> int:
        """The number of documents. Raises Unavailable."""
        primary, estimated = self._set.primary, self._estimated()
        known = self._difference
        if known and known.primary == primary and time.monotonic() < known.good_until:
            return estimated + known.documents
        counted = self._counted()
        after = self._estimated()
        settled = after == estimated and primary == self._set.primary
        good_until = float("inf") if settled else time.monotonic() + _UNSETTLED_SECONDS
        self._difference = _Difference(primary, counted - after, good_until)
        return counted

    def _estimated(self) -> int:
        return self._set.read(lambda: self._set.collection(self._name).estimated_document_count())

    def _counted(self) -> int:
        """Counted by the server along the index of ids, at about a million a second."""
        arguments: dict[str, Any] = {
            "query": {"_id": {"$gte": MinKey()}},
            "hint": {"_id": 1},
            "readConcern": {"level": "majority"},
        }

        def count() -> int:
            documents = self._set.collection(self._name)
            preference = documents.read_preference
            answer = documents.database.command("count", self._name, **arguments, read_preference=preference)
            return int(answer["n"])

        return self._set.read(count)
