"""A drill's load on the set that holds no products: records of its own in ``prodctl_meta.drill_records``."""

from __future__ import annotations

from uuid import UUID, uuid4

from pymongo.errors import DuplicateKeyError
from pymongo.write_concern import WriteConcern

from prodcore.drill.ledger import State
from prodcore.drill.ports import Place, Record
from prodcore.errors import ProductNotFound, VersionConflict
from prodcore.mongo.client.replica_set import Document, ReplicaSet

DRILL_RECORDS = ("prodctl_meta", "drill_records")


class MongoRecordTraffic:
    """A ``prodcore.drill.ports.Traffic`` through the application's own client, with its retries and write concern."""

    def __init__(self, replica_set: ReplicaSet, run: str, place: tuple[str, str] = DRILL_RECORDS) -> None:
        self.home = Place(replica_set.name, run)
        self.elsewhere: Place | None = None
        self._set = replica_set
        self._records = replica_set.collection(place[1], place[0])
        self._run = run

    def forget_majority(self) -> None:
        """Be content with one member's acknowledgement from now on: what the control of a drill must lose by."""
        self._records = self._records.with_options(write_concern=WriteConcern(1))

    def create(self, record: Record) -> None:
        """Store a new record."""
        document = {"_id": record.id, "words": [self._run], "version": record.state.version, **_content(record.state)}

        def attempt(again: bool) -> None:
            try:
                self._records.insert_one(document)
            except DuplicateKeyError:
                if not again:
                    raise

        self._set.write(attempt, record_id=str(record.id))

    def write(self, record: Record, state: State) -> int:
        """Store another state over the version that the record has."""
        write_id = uuid4()
        change = {"$set": {**_content(state), "write_id": write_id}, "$inc": {"version": 1}}

        def attempt(again: bool) -> None:
            seen = {"_id": record.id, "version": record.state.version}
            if not self._records.update_one(seen, change).matched_count and not (
                again and self._is(record.id, write_id)
            ):
                raise VersionConflict(record_id=str(record.id))

        self._set.write(attempt, record_id=str(record.id))
        return record.state.version + 1

    def delete(self, record: Record) -> None:
        """Remove it."""

        def attempt(again: bool) -> None:
            if not self._records.delete_one({"_id": record.id}).deleted_count and not again:
                raise ProductNotFound(record_id=str(record.id))

        self._set.write(attempt, record_id=str(record.id))

    def read(self, record: Record) -> None:
        """Read it."""
        self._set.read(lambda: self._records.find_one({"_id": record.id}))

    def close(self) -> None:
        """Let go of the connections."""
        self._set.close()

    def _is(self, record_id: UUID, write_id: UUID) -> bool:
        found = self._records.find_one({"_id": record_id}, {"write_id": 1})
        return found is not None and found.get("write_id") == write_id


def _content(state: State) -> Document:
    return {"name": state.name, "stock": state.value}
