"""What members remember of elections, and how they were started."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from prodcore.errors import CommandRefused, MemberUnavailable
from prodcore.mongo.admin.guarded_set import ACTIVE_SECONDS
from prodcore.mongo.admin.inspection import MongoSetInspector
from prodcore.mongo.admin.member import MemberConnection
from prodcore.mongo.client.replica_set import Document, SetAddress
from prodcore.replicaset.cluster import GuardSign
from prodcore.replicaset.elections import MemberRecords
from prodcore.replicaset.lint import MemberSetup
from prodcore.replicaset.status import SetStatus

T = TypeVar("T")

_SECONDS = 5.0


def election_records(address: SetAddress, members: Iterable[str]) -> list[MemberRecords]:
    """From every member that answers: its oplog's notes, its log, its own last candidacy."""

    def ask(member: MemberConnection) -> MemberRecords:
        return MemberRecords(
            member.address,
            member.find("local", "oplog.rs", {"op": "n", "o.msg": "new primary"}),
            member.command("getLog", "global")["log"],
            member.command("replSetGetStatus").get("electionCandidateMetrics"),
        )

    return list(_ask_each(address, members, ask))


def member_setups(address: SetAddress, members: Iterable[str]) -> list[MemberSetup]:
    """From every member that answers: its options and its default write concern."""

    def ask(member: MemberConnection) -> MemberSetup:
        return MemberSetup(
            member.address,
            member.command("getCmdLineOpts")["parsed"],
            member.command("getDefaultRWConcern").get("defaultWriteConcern", {}),
        )

    return list(_ask_each(address, members, ask))


def member_log(address: SetAddress, member: str) -> list[str]:
    """The last lines that a member has logged, the oldest first, in JSON; empty where it does not answer."""
    logs = _ask_each(address, [member], lambda connection: connection.command("getLog", "global")["log"])
    return list(next(iter(logs), []))


def member_clocks(address: SetAddress, members: Iterable[str]) -> dict[str, float]:
    """By how many seconds the clock of each member that answers is ahead of this machine's."""

    def ask(member: MemberConnection) -> tuple[str, float]:
        asked = datetime.now(UTC)
        told = member.command("hello")["localTime"]
        middle = asked + (datetime.now(UTC) - asked) / 2
        return member.address, (told - middle).total_seconds()

    return dict(_ask_each(address, members, ask))


def set_config(address: SetAddress, members: Iterable[str]) -> Document:
    """The set's configuration, from the first member that answers; empty when nobody does."""
    configs = _ask_each(address, members, lambda member: member.command("replSetGetConfig")["config"])
    return next(iter(configs), {})


def guard_signs(inspector: MongoSetInspector, users: SetStatus) -> tuple[GuardSign, ...]:
    """The guards that has had a heartbeat lately, as the users' primary tells; none where it does not answer."""
    if users.primary is None:
        return ()
    since = datetime.now(UTC) - timedelta(seconds=ACTIVE_SECONDS)
    found = inspector.find_at(users.primary.address, "prodctl_meta", "guards", {"seen": {"$gte": since}})
    return tuple(
        GuardSign(
            guard["_id"],
            all(facts.get("active") for facts in guard["sets"].values()),
            {name: facts["successor"] for name, facts in guard["sets"].items()},
            {name: facts["counts"] for name, facts in guard["sets"].items()},
        )
        for guard in found
    )


def _ask_each(address: SetAddress, members: Iterable[str], question: Callable[[MemberConnection], T]) -> Iterator[T]:
    for name in members:
        with _connected(address, name) as member:
            try:
                member.knock()
                yield question(member)
            except (MemberUnavailable, CommandRefused):
                continue  # the status says who does not answer


@contextmanager
def _connected(address: SetAddress, member: str) -> Iterator[MemberConnection]:
    connection = MemberConnection(member, address.login, timeout_seconds=_SECONDS)
    try:
        yield connection
    finally:
        connection.close()
