"""One member of a replica set, asked directly: no discovery, and no help from the other members."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pymongo
from bson import Timestamp
from pymongo import MongoClient, ReadPreference
from pymongo.errors import (
    AutoReconnect,
    ConnectionFailure,
    OperationFailure,
    PyMongoError,
)
from pymongo.read_concern import ReadConcern

from prodcore.errors import CommandRefused, ConfigError, MemberUnavailable
from prodcore.mongo.client.replica_set import Document

T = TypeVar("T")

_UNAUTHORIZED = {13, 18}


class MemberConnection:
    """A connection to one member. Every call takes at most ``timeout_seconds``.

    With ``keep_warm`` the driver connects and logs in by itself, without a call that waits for it: over a slow network
    that takes many times as long as a call.
    """

    def __init__(self, address: str, login: Document, *, timeout_seconds: float = 2.0, keep_warm: bool = False) -> None:
        self.address = address
        self._timeout = timeout_seconds
        self._client: MongoClient[Document] = MongoClient(
            address,
            directConnection=True,
            connect=False,
            serverSelectionTimeoutMS=int(timeout_seconds * 1000),
            connectTimeoutMS=int(timeout_seconds * 1000),
            serverMonitoringMode="poll",
            minPoolSize=1 if keep_warm else 0,
            uuidRepresentation="standard",
            tz_aware=True,
            appname="prodctl",
            **login,
        )

    def close(self) -> None:
        """Stop the driver's threads."""
        self._client.close()

    def knock(self) -> None:
        """Raise MemberUnavailable at once when nothing listens there; the driver would try until its time is up."""
        host, port = self.address.rsplit(":", 1)
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=self._timeout).close()
        except TimeoutError:
            raise self._unavailable("no answer in time", silent=True) from None
        except OSError as error:
            raise self._unavailable((error.strerror or str(error)).lower(), silent=False) from None

    def command(
        self,
        name: str,
        value: Any = 1,
        *,
        database: str = "admin",
        timeout_seconds: float | None = None,
        **arguments: Any,
    ) -> Document:
        """Run a command. Raises MemberUnavailable, CommandRefused; ConfigError when the member refuses the login."""
        target, codec = self._client[database], self._client.codec_options
        return self._ask(name, lambda: target.command({name: value, **arguments}, codec_options=codec), timeout_seconds)

    def find(
        self,
        database: str,
        collection: str,
        filter_: Document,
        *,
        fields: Sequence[str] = (),
        after: Timestamp | None = None,
    ) -> list[Document]:
        """Documents as this member holds them. Raises as ``command`` does.

        With ``after``, a cluster time, it is a majority read, and waits on the server until the member is that far.
        """
        source = self._client[database].get_collection(
            collection,
            read_preference=ReadPreference.NEAREST,
            read_concern=ReadConcern("majority" if after else "local"),
        )

        def question() -> list[Document]:
            if after is None:  # also answered by a member that its set does not name any more, which has no sessions
                return list(source.find(filter_, list(fields) or None))
            with self._client.start_session(causal_consistency=True) as session:
                session.advance_operation_time(after)
                return list(source.find(filter_, list(fields) or None, session=session))

        return self._ask("find", question)

    def _ask(self, name: str, question: Callable[[], T], timeout_seconds: float | None = None) -> T:
        started = time.monotonic()
        limit = timeout_seconds or self._timeout
        try:
            with pymongo.timeout(limit):
                return question()
        except OperationFailure as error:
            raise self._refused(name, error) from None
        except AutoReconnect as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise self._unavailable("its certificate is not valid", silent=False) from None
            late = time.monotonic() - started >= limit * 0.9 or getattr(error, "timeout", False)
            raise self._unavailable("no answer in time" if late else "closed the connection", silent=late) from None
        except ConnectionFailure:
            raise self._unavailable("no answer in time", silent=True) from None
        except PyMongoError as error:
            raise self._unavailable(type(error).__name__, silent=True) from None

    def _refused(self, name: str, error: OperationFailure) -> Exception:
        if error.timeout:
            return self._unavailable("no answer in time", silent=True)
        if error.code in _UNAUTHORIZED:
            return ConfigError(
                f"{self.address} refuses the login for {name}",
                hint="the addresses need a user with clusterMonitor, clusterManager and hostManager",
            )
        said = (error.details or {}).get("errmsg") or "no reason given"
        return CommandRefused(
            f"{self.address} refuses {name}: {said}", member=self.address, command=name, server_code=error.code
        )

    def _unavailable(self, why: str, *, silent: bool) -> MemberUnavailable:
        return MemberUnavailable(why, member=self.address, silent=silent)
