"""A client for one replica set that knows, at any moment, whether anybody there can take a write."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import pymongo
from bson import Timestamp
from pymongo import MongoClient, ReadPreference
from pymongo.collection import Collection
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    ExecutionTimeout,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
)
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
    ServerHeartbeatListener,
)
from pymongo.read_concern import ReadConcern
from pymongo.uri_parser import parse_uri
from pymongo.write_concern import WriteConcern

from prodcore.deadline import remaining
from prodcore.errors import ConfigError, NoPrimary, OutcomeUnknown, ProdError, Unavailable
from prodcore.mongo.client.set_view import SetView
from prodcore.support.http import tls_context
from prodcore.support.request_notes import may_be_stale, note_failed, note_sent, note_stale

Document = dict[str, Any]


class SetAddress:
    """A replica set's address, taken apart: its name, its members, and how to log in at each of them.

    It is written ``mongodb://user:password@host:port,…/database?replicaSet=name``.
    """

    def __init__(self, uri: str) -> None:
        try:
            parsed = parse_uri(uri)
        except (InvalidURI, ConfigurationError, ValueError) as error:
            raise ConfigError(f"not a usable MongoDB address: {error}") from None
        except OSError:
            raise ConfigError("the file that tlsCAFile of a MongoDB address names cannot be read") from None
        options = parsed["options"]
        self.name: str = options.get("replicaSet") or ""
        if not self.name:
            raise ConfigError("a MongoDB address names no replica set", hint="add ?replicaSet=rsA (or rsB, rsU) to it")
        self.database: str = parsed["database"] or "products_db"
        self.members: list[str] = [f"{host}:{port}" for host, port in parsed["nodelist"]]
        self.login: Document = {k: v for k, v in options.items() if k.lower().startswith(("tls", "auth"))}
        if ca_file := self.login.get("tlsCAFile"):
            tls_context(Path(ca_file), "tlsCAFile of a MongoDB address")
        if parsed["username"]:
            self.login |= {"username": parsed["username"], "password": parsed["password"]}
            self.login.setdefault("authSource", parsed["database"] or "admin")

    def watching_client(self, listener: ServerHeartbeatListener, name: str) -> MongoClient[Document]:
        """A client that does nothing but hear every member's heartbeat; ``name`` is how the servers' logs call it."""
        return MongoClient(
            self.members,
            replicaSet=self.name,
            heartbeatFrequencyMS=500,
            connectTimeoutMS=500,
            serverMonitoringMode="stream",
            appname=name,
            event_listeners=[listener],
            **self.login,
        )


T = TypeVar("T")

_SECONDARY_SECONDS = 2.0

_SELECTION_MS = 1_000
"""How long the driver itself looks for a server before it gives the question back to us."""

# Server errors that say "not now", never "no". Source: the server's src/mongo/base/error_codes.yml.
_TRANSIENT_CODES = frozenset(
    (
        *(6, 7, 89, 145, 202, 384, 9001),  # the network between members
        *(91, 189, 216, 10058, 10107, 11600, 11602, 13388, 13435, 13436),  # shutting down, no primary any more
        *(24, 50, 262, 279, 290, 355, 365, 402, 11601),  # interrupted, a lock or time that was not had
        *(43, 112, 175, 237, 239, 246),  # a cursor or a snapshot that is gone, a write that another one was ahead of
        *(64, 134, 187),  # no majority in time
        *(94, 209, 210, 211),  # just started: no configuration, clock or keys to sign cluster times with yet
    )
)


_on_secondary: ContextVar[bool] = ContextVar("on_secondary", default=False)


def is_transient(error: PyMongoError) -> bool:
    """Whether the same operation may succeed in a moment; a write that did not reach a majority counts too."""
    if isinstance(error, ConnectionFailure | WriteConcernError | ExecutionTimeout):
        return True
    if isinstance(error, BulkWriteError):
        failed = error.details.get("writeErrors", [])
        return bool(error.details.get("writeConcernErrors")) or any(e["code"] in _TRANSIENT_CODES for e in failed)
    return isinstance(error, OperationFailure) and (
        error.code in _TRANSIENT_CODES or error.has_error_label("RetryableWriteError")
    )


def was_never_sent(error: PyMongoError) -> bool:
    """Whether the operation certainly did not reach a server."""
    return isinstance(error, ServerSelectionTimeoutError | WaitQueueTimeoutError)


class ReplicaSet:
    """One replica set: a client and its view of the members.

    Make it after forking: the driver's threads do not survive a fork. ``uri`` names the members, the set and the
    default database. Raises ConfigError for a URI that names no replica set.
    """

    def __init__(
        self, uri: str, *, heartbeat_ms: int = 1_000, connect_timeout_ms: int = 1_000, count_retries: bool = False
    ) -> None:
        address = SetAddress(uri)
        self.name = address.name
        self.database_name = address.database
        self._view = SetView()
        self._collections: dict[tuple[str, str, bool], Collection[Document]] = {}
        """Made once: a request asks for some, and making one costs a tenth of a question."""
        self.client: MongoClient[Document] = MongoClient(
            uri,
            w="majority",
            journal=True,
            readConcernLevel="majority",
            retryWrites=True,
            retryReads=True,
            heartbeatFrequencyMS=heartbeat_ms,
            connectTimeoutMS=connect_timeout_ms,
            serverSelectionTimeoutMS=_SELECTION_MS,
            uuidRepresentation="standard",
            tz_aware=True,
            appname="prodctl",
            event_listeners=[self._view, *([RetryCounter()] if count_retries else [])],
        )

    @property
    def known_time(self) -> int:
        """A cluster time that the driver's last heartbeats told to be on a majority; 0 before the first of them."""
        return self._view.known_time

    def collection(self, name: str, database: str | None = None) -> Collection[Document]:
        """A collection, read and written with majority; inside a read, on a secondary where that has to do."""
        wanted = (name, database or self.database_name, _on_secondary.get())
        if wanted not in self._collections:
            self._collections[wanted] = self.client[wanted[1]].get_collection(
                name,
                write_concern=WriteConcern("majority", j=True),
                read_concern=ReadConcern("majority"),
                read_preference=ReadPreference.SECONDARY_PREFERRED if wanted[2] else ReadPreference.PRIMARY,
            )
        return self._collections[wanted]

    @property
    def primary(self) -> tuple[Any, ...]:
        """Which member is the primary by which election, as far as the driver knows; empty for none."""
        members = self.client.topology_description.server_descriptions().values()
        return next(((m.address, m.election_id) for m in members if m.server_type_name == "RSPrimary"), ())

    def close(self) -> None:
        """Stop the driver's threads."""
        self.client.close()

    def read(self, operation: Callable[[], T], *, fresh: bool = False) -> T:
        """Run a read until it succeeds or the budget ends; it sees all that was acknowledged before.

        Without a majority it reads from a secondary, for those who are content with that (``support.stale_reads``) and
        unless it must be ``fresh``: ``operation`` takes its collections from ``collection`` when it is called.
        Raises ShardUnavailable or NoPrimary.
        """

        def attempt() -> T:
            while True:
                election = self._view.election
                if election != self._view.caught_up:
                    self._catch_up()
                    self._view.caught_up = election
                found = operation()
                if election == self._view.election:
                    return found

        try:
            return self._run(attempt, lambda _error: NoPrimary(f"{self.name} gave no answer in time", shard=self.name))
        except Unavailable:
            if fresh or not may_be_stale() or not self._view.has_only_minority():
                raise
            return self._read_secondary(operation)

    def _read_secondary(self, operation: Callable[[], T]) -> T:
        """Read what is on a majority as far as a member knows. Raises NoPrimary."""
        gives_up = time.monotonic() + _SECONDARY_SECONDS
        token = _on_secondary.set(True)
        try:
            while (left := gives_up - time.monotonic()) > 0:
                seen = self._view.changes
                try:
                    with pymongo.timeout(left):
                        found = operation()
                except PyMongoError as error:
                    if not is_transient(error):
                        raise
                    self._view.wait_for_change(seen)
                else:
                    note_stale(self.name)
                    return found
        finally:
            _on_secondary.reset(token)
        raise NoPrimary(f"{self.name} has no majority, and no member that can be read", shard=self.name)

    def _catch_up(self) -> None:
        """Wait until the primary's majority reads show all that was acknowledged by those before it.

        A new primary has every acknowledged write, but does not know yet that a majority has it: until its own first
        entry is on one, majority reads show an older state. A linearizable read waits for that, even if for nothing.
        """
        everything = self.client[self.database_name].get_collection("marks", read_concern=ReadConcern("linearizable"))
        everything.find_one({"_id": None})

    def write(self, operation: Callable[[bool], T], **identity: Any) -> T:
        """Run a write until its outcome is known or the budget ends.

        ``operation`` gets True when an earlier attempt of the same write may have happened, and must then recognise
        its own work. Raises Unavailable when nothing can have happened, else OutcomeUnknown with ``identity``.
        """
        attempted = False

        def attempt() -> T:
            nonlocal attempted
            try:
                return operation(attempted)
            except PyMongoError as error:
                attempted = attempted or not was_never_sent(error)
                raise

        def give_up(_error: PyMongoError | None) -> ProdError:
            if attempted:
                return OutcomeUnknown(
                    f"{self.name} took the write and gave no answer: it may have happened",
                    hint="Check whether it happened before you repeat it",
                    shard=self.name,
                    **identity,
                )
            return NoPrimary(f"{self.name} has no primary: nothing was written", shard=self.name)

        return self._run(attempt, give_up)

    def _run(self, attempt: Callable[[], T], give_up: Callable[[PyMongoError | None], ProdError]) -> T:
        failed: PyMongoError | None = None
        while True:
            try:
                self._view.wait_for_writable(self.name)
            except Unavailable as error:
                outcome = give_up(failed)
                raise (error if isinstance(outcome, Unavailable) else outcome) from None
            if (left := remaining()) <= 0:
                raise give_up(failed)
            seen = self._view.changes
            try:
                with pymongo.timeout(left):
                    return attempt()
            except PyMongoError as error:
                if not is_transient(error):
                    raise
                failed = error
            if not self._view.wait_for_change(seen):
                raise give_up(failed) from None


def find_at_once(
    documents: Collection[Document],
    wanted: Document,
    shown: Document,
    *,
    most: int,
    order: Sequence[tuple[str, int]] = (),
    not_before: Timestamp | None = None,
) -> tuple[list[Document], bool]:
    """The first ``most`` documents that one answer of the server holds, and whether that is all that was asked for.

    As ``find`` with the collection's concerns and preference, for a fifth less of the driver's work: there is no
    cursor to keep. With ``not_before`` nothing older is read. An answer holds 16 MiB.
    """
    concern = documents.read_concern.document
    command = {
        "find": documents.name,
        "filter": wanted,
        "projection": shown,
        "limit": most,
        "batchSize": most,
        "readConcern": {**concern, "afterClusterTime": not_before} if not_before else concern,
    }
    if order:
        command["sort"] = dict(order)
    answer = documents.database.command(
        command, read_preference=documents.read_preference, codec_options=documents.codec_options
    )
    return answer["cursor"]["firstBatch"], not answer["cursor"]["id"]


class RetryCounter(CommandListener):
    """Says to whoever counts (``prodcore.support.request_notes``) that a command follows one that failed.

    Costs something for each command, so only drills listen. The driver calls it in the thread that sends.
    """

    def started(self, _event: CommandStartedEvent) -> None:
        """A command goes out."""
        note_sent()

    def succeeded(self, _event: CommandSucceededEvent) -> None:
        """Nothing to do."""

    def failed(self, _event: CommandFailedEvent) -> None:
        """No answer, or a refusal such as one of a member that is no primary any more."""
        note_failed()
