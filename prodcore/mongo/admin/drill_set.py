"""One replica set as a drill needs it: its members asked directly, and records of the drill's own in it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

from bson import Timestamp
from pymongo.errors import DuplicateKeyError
from pymongo.write_concern import WriteConcern

from prodcore.drill.ledger import State
from prodcore.drill.load import DrillRecord, Place
from prodcore.drill.round import Election
from prodcore.drill.verdict import Found
from prodcore.errors import CommandRefused, MemberUnavailable, NoPrimary, ProductNotFound, Unavailable, VersionConflict
from prodcore.mongo.admin.inspection import MongoSetInspector
from prodcore.mongo.admin.member import MemberConnection
from prodcore.mongo.client.observer import MongoSetWatch
from prodcore.mongo.client.replica_set import Document, ReplicaSet
from prodcore.product.terms import beginning_of
from prodcore.replicaset.status import SetStatus

STEP_DOWN_SECONDS = 30
"""How long a member that stepped down may not stand; a drill lifts it when it has measured."""

_COMMAND_SECONDS = 20.0
_AGAIN_SECONDS = 0.1
_DELETED = {"deleted.at": {"$gte": datetime(1970, 1, 1, tzinfo=UTC)}}
_SHOWN = {"move.state": {"$nin": ["pending", "moved"]}}
"""Not what only keeps the place of a product that was, or will be, in the other shard."""
_IMPORT_SECONDS = 30
"""An import that has changed nothing for so long has ended, though nobody said so."""


class MongoDrillSet:
    """A ``prodcore.drill.round.SetAccess``. A drill's records are those whose ``words`` hold its id."""

    def __init__(self, inspector: MongoSetInspector, collection: tuple[str, str]) -> None:
        self._inspector = inspector
        self._address = inspector.address
        self._database, self._collection = collection

    @property
    def name(self) -> str:
        """The set's name."""
        return self._inspector.name

    def inspect(self) -> SetStatus:
        """What the members say."""
        return self._inspector.inspect()

    def watch(self) -> MongoSetWatch:
        """Start to watch."""
        return MongoSetWatch(self._address)

    def last_election(self, primary: str) -> Election | None:
        """How this primary came to be it, from its own record."""
        metrics = self._command(primary, "replSetGetStatus").get("electionCandidateMetrics")
        if not metrics:
            return None
        return Election(
            int(metrics["electionTerm"]), metrics["lastElectionReason"], metrics["lastElectionDate"].timestamp()
        )

    def step_down(self, primary: str) -> None:
        """Make the primary hand over."""
        self._command(primary, "replSetStepDown", STEP_DOWN_SECONDS)

    def step_up(self, member: str) -> None:
        """Make a secondary stand for election."""
        self._command(member, "replSetStepUp")

    def follow(self, member: str, source: str) -> None:
        """Make a secondary copy from ``source``."""
        self._command(member, "replSetSyncFrom", source)

    def sync_source(self, member: str) -> str:
        """Which member it copies from."""
        try:
            return str(self._command(member, "replSetGetStatus").get("syncSourceHost", ""))
        except (MemberUnavailable, CommandRefused):
            return ""

    def write_notes(self, primary: str, count: int) -> None:
        """Write oplog entries that change nothing, one right after the other."""
        connection = MemberConnection(primary, self._address.login, timeout_seconds=_COMMAND_SECONDS)
        try:
            for _ in range(count):
                connection.command("appendOplogNote", data={"prodctl": "switchover"})
        finally:
            connection.close()

    def allow_election(self, member: str) -> None:
        """Let a member that stepped down stand again."""
        self._command(member, "replSetFreeze", 0)

    def wait_caught_up(self, deadline: float) -> Timestamp:
        """Wait, on the server, until every member holds all that was written before now; returns how far that is.

        A write that changes nothing, with the whole set as its write concern, waits for just that.
        """
        while (left_ms := int((deadline - time.monotonic()) * 1000)) > 0:
            status = self.inspect()
            answer = self._command(
                _primary(status),
                "update",
                self._collection,
                database=self._database,
                timeout_seconds=left_ms / 1000 + 1,
                updates=[{"q": {"_id": "none"}, "u": {"$set": {"words": []}}}],
                writeConcern={"w": len(status.config), "wtimeout": left_ms},
            )
            if "writeConcernError" in answer:
                break
            # A member that has only just been elected may not tell a time yet.
            if moment := answer.get("operationTime"):
                return cast("Timestamp", moment)
            time.sleep(_AGAIN_SECONDS)
        raise Unavailable(f"{self.name}: not every member caught up in time", shard=self.name)

    def read_everywhere(self, run: str, members: Sequence[str], deadline: float) -> dict[str, list[Found]]:
        """The drill's records in a majority read of every member, once each has caught up."""
        moment = self.wait_caught_up(deadline)
        with ThreadPoolExecutor(max_workers=max(1, len(members))) as pool:
            found = pool.map(lambda member: self._read(member, run, moment, deadline), members)
            return dict(zip(members, found, strict=True))

    def imports_at_work(self) -> list[str]:
        """Imports of products that go on at this moment: begun, or changing products, a short time ago."""
        now = datetime.now(UTC)
        lately, today = now - timedelta(seconds=_IMPORT_SECONDS), now - timedelta(days=1)
        unfinished = {"started_at": {"$gte": today}, "finished_at": {"$exists": False}}
        connection = MemberConnection(_primary(self.inspect()), self._address.login, timeout_seconds=_COMMAND_SECONDS)
        try:
            return [
                f"{of['by']} imports {of['source']}"
                for of in connection.find(self._database, "imports", unfinished)
                if of["started_at"] >= lately
                or connection.find(
                    self._database,
                    self._collection,
                    {"history.import": str(of["_id"]), "updated_at": {"$gte": lately}},
                    fields=("_id",),
                )
            ]
        finally:
            connection.close()

    def remove_records(self, run: str) -> int:
        """Remove the drill's records with a majority write."""
        answer = self._command(
            _primary(self.inspect()),
            "delete",
            self._collection,
            database=self._database,
            deletes=[{"q": _terms_of(run), "limit": 0}, {"q": {**_DELETED, **_named(run)}, "limit": 0}],
            writeConcern={"w": "majority", "wtimeout": int(_COMMAND_SECONDS * 1000)},
        )
        return int(answer["n"])

    def _read(self, member: str, run: str, after: Timestamp, deadline: float) -> list[Found]:
        left = deadline - time.monotonic()
        if left <= 0:
            raise MemberUnavailable("no answer in time", member=member, silent=True)
        connection = MemberConnection(member, self._address.login, timeout_seconds=left)
        try:
            documents = connection.find(
                self._database,
                self._collection,
                {**_terms_of(run), **_SHOWN},
                fields=("name", "stock", "version"),
                after=after,
            )
            return [Found(d["_id"], State(d["name"], d["stock"], d["version"], self.name)) for d in documents]
        finally:
            connection.close()

    def _command(
        self,
        member: str,
        name: str,
        value: Any = 1,
        *,
        database: str = "admin",
        timeout_seconds: float = _COMMAND_SECONDS,
        **more: Any,
    ) -> Document:
        connection = MemberConnection(member, self._address.login, timeout_seconds=timeout_seconds)
        try:
            connection.knock()
            return connection.command(name, value, database=database, **more)
        finally:
            connection.close()


def _terms_of(run: str) -> Document:
    """What a record has of its drill's id, which is a word of its name: the term that is indexed, and the word."""
    return {"words": beginning_of(run), "long_words": run}


def _named(run: str) -> Document:
    """Deleted products whose name was a drill's: a first word, then the drill's id."""
    return {"deleted.name_key": {"$regex": f"^[^ ]+ {run} "}}


def _primary(status: SetStatus) -> str:
    if status.primary is None:
        raise NoPrimary(f"{status.name} has no primary", shard=status.name)
    return status.primary.address


DRILL_RECORDS = ("prodctl_meta", "drill_records")


class MongoRecordTraffic:
    """A ``prodcore.drill.load.Traffic`` through the application's own client, with its retries and write concern."""

    def __init__(self, replica_set: ReplicaSet, run: str, place: tuple[str, str] = DRILL_RECORDS) -> None:
        self.home = Place(replica_set.name, run)
        self.elsewhere: Place | None = None
        self._set = replica_set
        self._records = replica_set.collection(place[1], place[0])
        self._run = run

    def forget_majority(self) -> None:
        """Be content with one member's acknowledgement from now on: what the control of a drill must lose by."""
        self._records = self._records.with_options(write_concern=WriteConcern(1))

    def create(self, record: DrillRecord) -> None:
        """Store a new record."""
        document = {"_id": record.id, "version": record.state.version, **_content(record.state)}
        document |= {name: [term] for name, term in _terms_of(self._run).items()}

        def attempt(again: bool) -> None:
            try:
                self._records.insert_one(document)
            except DuplicateKeyError:
                if not again:
                    raise

        self._set.write(attempt, record_id=str(record.id))

    def write(self, record: DrillRecord, state: State) -> int:
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

    def delete(self, record: DrillRecord) -> None:
        """Remove it."""

        def attempt(again: bool) -> None:
            if not self._records.delete_one({"_id": record.id}).deleted_count and not again:
                raise ProductNotFound(record_id=str(record.id))

        self._set.write(attempt, record_id=str(record.id))

    def read(self, record: DrillRecord) -> None:
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
