"""Reading what members say of themselves and of each other: roles, lag, views, health. Pure: documents in, values out.

The documents are the servers' own answers to ``hello``, ``replSetGetStatus``, ``replSetGetConfig`` and
``serverStatus``, as any client gets them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from prodcore.errors import MemberNotFound
from prodcore.replicaset.diagnostic import ProblemLine, problem_line

Document = Mapping[str, Any]

MAX_LAG_SECONDS = 10.0
"""A secondary further behind than this is a problem that is reported."""

DOWN = "DOWN"
"""The role of a member whose process does not listen."""
UNRESPONSIVE = "UNRESPONSIVE"
"""The role of a member that is there and gives no answer in time: hung, paused, or cut off by the network."""
PRIMARY = "PRIMARY"
SECONDARY = "SECONDARY"
_NEVER = datetime.min.replace(tzinfo=UTC)
_WORKING = {PRIMARY, SECONDARY, "ARBITER"}


class Health(StrEnum):
    """How a set, or all of it together, is doing."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """It serves reads and writes, and something is wrong all the same."""
    DOWN = "down"
    """It takes no writes."""


@dataclass(frozen=True, slots=True)
class MemberView:
    """How one member is seen by another."""

    address: str
    role: str
    healthy: bool
    last_applied: datetime | None
    sync_source: str
    message: str


@dataclass(frozen=True, slots=True)
class Operations:
    """What a member has done for clients since it started."""

    queries: int
    changes: int
    """Inserts, updates and deletes, without those that it copied."""
    reads: int
    """How many answers ``read_micros`` is the time of."""
    writes: int
    read_micros: int
    write_micros: int

    def since(self, before: Operations | None) -> Operations | None:
        """What was done since then; None where that is not known: nobody looked, or it has started again."""
        if before is None:
            return None
        done = [now - then for now, then in zip(astuple(self), astuple(before), strict=True)]
        return None if min(done) < 0 else Operations(*done)

    @classmethod
    def total(cls, parts: Sequence[Operations]) -> Operations:
        """What all of them have done."""
        return cls(*(sum(numbers) for numbers in zip(*map(astuple, parts), strict=True)))


@dataclass(frozen=True, slots=True)
class Member:
    """What one member says of itself; with ``error`` set, what could be learned without it."""

    address: str
    role: str
    name: str = ""
    """The set's name and its place in the set's address, as ``prodctl local`` calls it too: rsA-1."""
    error: str = ""
    term: int | None = None
    version: str = ""
    uptime_seconds: float | None = None
    last_applied: datetime | None = None
    sync_source: str = ""
    oplog_window_seconds: float | None = None
    documents: int | None = None
    data_bytes: int | None = None
    free_disk_bytes: int | None = None
    config_version: int | None = None
    map_version: int | None = None
    """The version of the shard map, or of its copy, that the member holds."""
    views: tuple[MemberView, ...] = ()
    operations: Operations | None = None

    @property
    def answers(self) -> bool:
        """Whether it answered for itself."""
        return not self.error

    @property
    def is_working(self) -> bool:
        """Whether it takes part: as primary, secondary or arbiter."""
        return self.answers and self.role in _WORKING

    @property
    def believed_primary(self) -> str:
        """Whom this member takes for the primary; empty when nobody."""
        return next((v.address for v in self.views if v.role == PRIMARY), "")


@dataclass(frozen=True, slots=True)
class MemberConfig:
    """One member in the set's configuration."""

    address: str
    votes: int
    priority: float
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class SetStatus:
    """One replica set as its members, all of them, tell it."""

    name: str
    members: tuple[Member, ...]
    config: tuple[MemberConfig, ...]
    health: Health
    problems: tuple[ProblemLine, ...]
    """What is wrong, a line each."""
    election_timeout_ms: int | None = None

    @property
    def primary(self) -> Member | None:
        """The primary of the highest term, if any member says it is one."""
        return _primary(self.members)

    @property
    def majority(self) -> int:
        """How many voting members make a majority."""
        return sum(c.votes for c in self.config) // 2 + 1

    def lag_seconds(self, member: Member) -> float | None:
        """Replication lag behind the primary, at least 0; None where it cannot be known."""
        return _lag(self.primary, member)

    def member(self, name: str) -> Member | None:
        """The member with this address (``host:port``), or with this name (``rsA-2``)."""
        return next((m for m in self.members if name in (m.address, m.name)), None)

    def required_member(self, name: str) -> Member:
        """The same. Raises MemberNotFound with those that there are."""
        found = self.member(name)
        if found is None:
            names = ", ".join(m.name for m in self.members)
            raise MemberNotFound(f"{name} is not a member of {self.name}; there are {names}", member=name)
        return found


@dataclass(frozen=True, slots=True)
class MemberAnswers:
    """The raw answers of one member, or why there are none."""

    address: str
    error: str = ""
    silent: bool = False
    """The connection was accepted, or at least not refused, and no answer came."""
    status: Document = field(default_factory=dict)
    config: Document = field(default_factory=dict)
    server: Document = field(default_factory=dict)
    documents: int | None = None
    data_bytes: int | None = None
    free_disk_bytes: int | None = None
    map_version: int | None = None


def read_set(name: str, answers: Sequence[MemberAnswers]) -> SetStatus:
    """Put together what the members of a set report; ``answers`` begin with those of its address, in its order."""
    newest = max((a.config for a in answers if a.config), key=_config_age, default={})
    config = read_config(newest)
    names = {a.address: f"{name}-{number}" for number, a in enumerate(answers, start=1)}
    ordered = sorted(answers, key=lambda a: _place(a.address, config))
    members = tuple(replace(_read_member(a, answers), name=names[a.address]) for a in ordered)
    health, problems = _judge(name, members, config)
    timeout = newest.get("settings", {}).get("electionTimeoutMillis")
    return SetStatus(name, members, config, health, problems, None if timeout is None else int(timeout))


def read_config(config: Document) -> tuple[MemberConfig, ...]:
    """The members of a ``replSetGetConfig`` document, in its order."""
    return tuple(
        MemberConfig(m["host"], int(m.get("votes", 1)), float(m.get("priority", 1)), bool(m.get("hidden", False)))
        for m in config.get("members", ())
    )


def _config_age(config: Document) -> tuple[int, int]:
    return int(config.get("term", -1)), int(config.get("version", 0))


def _place(address: str, config: Sequence[MemberConfig]) -> tuple[int, str]:
    order = [c.address for c in config]
    return (order.index(address) if address in order else len(order)), address


def _read_member(answer: MemberAnswers, everybody: Sequence[MemberAnswers]) -> Member:
    if answer.error:
        seen = _best_view(answer.address, everybody)
        return Member(
            answer.address,
            UNRESPONSIVE if answer.silent else DOWN,
            error=answer.error,
            last_applied=seen.last_applied if seen else None,
        )
    views = read_views(answer.status)
    status, server = answer.status, answer.server
    me: Document = next((m for m in status.get("members", ()) if m.get("self")), {})
    return Member(
        answer.address,
        role=me.get("stateStr", "STARTUP"),
        term=int(status["term"]) if "term" in status else None,
        version=server.get("version", ""),
        uptime_seconds=server.get("uptimeMillis", 0) / 1000 if server else None,
        last_applied=me.get("lastAppliedWallTime") or me.get("optimeDate"),
        sync_source=status.get("syncSourceHost", ""),
        oplog_window_seconds=_oplog_window(server),
        documents=answer.documents,
        data_bytes=answer.data_bytes,
        free_disk_bytes=answer.free_disk_bytes,
        config_version=int(answer.config["version"]) if answer.config else None,
        map_version=answer.map_version,
        views=views,
        operations=_operations(server),
    )


def read_views(status: Document) -> tuple[MemberView, ...]:
    """How the member that gave this ``replSetGetStatus`` answer sees everybody, itself included."""
    return tuple(
        MemberView(
            address=m["name"],
            role=m["stateStr"] if m.get("health") else DOWN,
            healthy=bool(m.get("health")),
            last_applied=m.get("lastAppliedWallTime") or m.get("optimeDate"),
            sync_source=m.get("syncSourceHost", ""),
            message=m.get("lastHeartbeatMessage", ""),
        )
        for m in status.get("members", ())
    )


def _best_view(address: str, everybody: Sequence[MemberAnswers]) -> MemberView | None:
    """The newest that others know of a member."""
    views = [v for a in everybody for v in read_views(a.status) if v.address == address and v.last_applied]
    return max(views, key=lambda v: v.last_applied or _NEVER, default=None)


def _operations(server: Document) -> Operations | None:
    counted, times = server.get("opcounters"), server.get("opLatencies")
    if not counted or not times:
        return None
    return Operations(
        int(counted["query"]),
        sum(int(counted[name]) for name in ("insert", "update", "delete")),
        int(times["reads"]["ops"]),
        int(times["writes"]["ops"]),
        int(times["reads"]["latency"]),
        int(times["writes"]["latency"]),
    )


def _oplog_window(server: Document) -> float | None:
    oplog = server.get("oplog")
    if not oplog:
        return None
    return float(oplog["latestOptime"].time - oplog["earliestOptime"].time)


def _primary(members: Sequence[Member]) -> Member | None:
    return max((m for m in members if m.role == PRIMARY), key=lambda m: m.term or 0, default=None)


def _lag(primary: Member | None, member: Member) -> float | None:
    if primary is None or primary.last_applied is None or member.last_applied is None:
        return None
    return max(0.0, (primary.last_applied - member.last_applied).total_seconds())


def _judge(
    name: str, members: Sequence[Member], config: Sequence[MemberConfig]
) -> tuple[Health, tuple[ProblemLine, ...]]:
    """The health of a set, and everything that is wrong with it."""
    primary = _primary(members)
    problems = [*_missing_members(name, members, config), *_lags(name, members), *disagreements(name, members, primary)]
    votes = {c.address: c.votes for c in config}
    reached = sum(votes.get(m.address, 0) for m in members if m.is_working)
    needed = sum(votes.values()) // 2 + 1
    if not any(m.answers for m in members):
        return Health.DOWN, (problem_line("no_member", set=name), *problems)
    if primary is None:
        return Health.DOWN, (problem_line("no_primary", set=name), *problems)
    if reached < needed:
        line = problem_line("no_majority", set=name, reached=reached, votes=sum(votes.values()), needed=needed)
        return Health.DOWN, (line, *problems)
    return (Health.DEGRADED if problems else Health.HEALTHY), tuple(problems)


def _missing_members(name: str, members: Sequence[Member], config: Sequence[MemberConfig]) -> list[ProblemLine]:
    configured = {c.address for c in config}
    lines = []
    for m in members:
        if config and m.address not in configured:
            lines.append(problem_line("stranger", set=name, member=m.address))
        elif m.error:
            lines.append(problem_line("unreachable", set=name, member=m.address, role=m.role, why=m.error))
        elif m.role not in _WORKING:
            lines.append(problem_line("not_working", set=name, member=m.address, role=m.role))
    return lines


def _lags(name: str, members: Sequence[Member]) -> list[ProblemLine]:
    primary = _primary(members)
    lags = [(m, _lag(primary, m)) for m in members if m.role == SECONDARY]
    return [
        problem_line("lag", set=name, member=m.address, seconds=lag)
        for m, lag in lags
        if lag is not None and lag > MAX_LAG_SECONDS
    ]


def disagreements(name: str, members: Sequence[Member], primary: Member | None) -> list[ProblemLine]:
    """A line for each: other primaries, members that do not reach each other, different configurations."""
    lines = _other_primaries(name, members, primary) if primary else []
    working = {m.address for m in members if m.is_working}
    for m in members:
        for view in m.views:
            if view.address in working and not view.healthy:
                lines.append(problem_line("cut_off", set=name, member=m.address, other=view.address))
    versions = {m.address: m.config_version for m in members if m.config_version is not None}
    if len(set(versions.values())) > 1:
        told = ", ".join(f"{address} has {version}" for address, version in versions.items())
        lines.append(problem_line("configurations", set=name, told=told))
    return lines


def _other_primaries(name: str, members: Sequence[Member], primary: Member) -> list[ProblemLine]:
    """Who believes itself, or another member, to be primary."""
    lines = [
        problem_line(
            "former_primary", set=name, member=m.address, term=m.term, primary=primary.address, newer=primary.term
        )
        for m in members
        if m.role == primary.role and m is not primary
    ]
    for m in members:
        believed = m.believed_primary
        if m.answers and m.views and m is not primary and believed != primary.address:
            code = "other_primary" if believed else "no_believed_primary"
            lines.append(problem_line(code, set=name, member=m.address, believed=believed, primary=primary.address))
    return lines
