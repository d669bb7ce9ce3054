"""Asking every member of a set at once, straight: for what ``prodcore.replicaset.status`` reads, and for what the set
lacks of what it shall be (members, timing, roles, users, write concern). Changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from prodcore.errors import CommandRefused, ConfigError, MemberUnavailable
from prodcore.mongo.admin.member import MemberConnection
from prodcore.mongo.admin.replica_set_admin import DatabaseRole, DatabaseUser, SetTiming
from prodcore.mongo.client.replica_set import Document, SetAddress
from prodcore.replicaset.status import SECONDARY, MemberAnswers, SetStatus, read_set

INSPECTION_SECONDS = 1.5
"""How long one member may take for one answer; a hung one costs the caller about this much."""

_UNRESPONSIVE_SECONDS = 0.5
_LAG_SECONDS = 1.0
_SHARD_MAP = ("prodctl_meta", "shard_map", "version")
_OWNED_RANGES = ("products_db", "owned_ranges", "map_version")
_SERVER_SECTIONS: Document = {
    "oplog": 1,
    **dict.fromkeys(("metrics", "wiredTiger", "locks", "tcmalloc", "network", "transactions"), 0),
}


class MongoSetInspector:
    """A ``prodcore.replicaset.cluster.SetInspector``; ``databases`` are the ones whose documents count.

    With ``keep``, for somebody who looks again and again, connections stay open until ``close``, and a member that was
    silent gets less time until it answers again. Then use it from one thread.
    """

    def __init__(
        self,
        uri: str,
        databases: tuple[str, ...],
        *,
        timeout_seconds: float = INSPECTION_SECONDS,
        keep: bool = False,
    ) -> None:
        self.address = SetAddress(uri)
        self._databases = databases
        self._timeout = timeout_seconds
        self._keep = keep
        self._kept: dict[str, MemberConnection] = {}
        self._silent: set[str] = set()

    @property
    def name(self) -> str:
        """The set's name."""
        return self.address.name

    def inspect(self) -> SetStatus:
        """Ask the members that the address names, then those that only their configuration names."""
        answers = self._ask_all(self.address.members)
        configured = {m["host"] for a in answers for m in a.config.get("members", ())}
        answers += self._ask_all(configured.difference(self.address.members))
        return self._look_again(read_set(self.name, answers), answers)

    def _look_again(self, seen: SetStatus, answers: list[MemberAnswers]) -> SetStatus:
        """Ask those that seem to lag once more: on an idle set, one write older than the others looks like much lag."""
        late = {m.address for m in seen.members if m.role == SECONDARY and (seen.lag_seconds(m) or 0) > _LAG_SECONDS}
        if not late:
            return seen
        again = {a.address: a for a in self._ask_all(late)}
        return read_set(self.name, [again.get(a.address, a) for a in answers])

    def _ask_all(self, addresses: Iterable[str]) -> list[MemberAnswers]:
        addresses = list(addresses)
        with ThreadPoolExecutor(max_workers=max(1, len(addresses))) as pool:
            return list(pool.map(self._ask, addresses))

    def find_at(self, address: str, database: str, collection: str, filter_: Document) -> list[Document]:
        """Documents as this member holds them; none when it does not answer."""
        member = self._kept.pop(address, None) or self._connect(address)
        try:
            member.knock()
            found = member.find(database, collection, filter_)
        except (MemberUnavailable, CommandRefused):
            member.close()
            return []
        self._let_go(member)
        return found

    def close(self) -> None:
        """Let go of the connections that were kept."""
        while self._kept:
            self._kept.popitem()[1].close()

    def _ask(self, address: str) -> MemberAnswers:
        member = self._kept.pop(address, None) or self._connect(address)
        try:
            answers = self._try(member)
        except BaseException:
            member.close()  # a refused login, for instance, ends the whole look
            raise
        if answers.silent:
            self._silent.add(address)
        else:
            self._silent.discard(address)
        if answers.error:
            member.close()
        else:
            self._let_go(member)
        return answers

    def _let_go(self, member: MemberConnection) -> None:
        if self._keep:
            self._kept[member.address] = member
        else:
            member.close()

    def _connect(self, address: str) -> MemberConnection:
        seconds = min(self._timeout, _UNRESPONSIVE_SECONDS) if address in self._silent and self._keep else self._timeout
        return MemberConnection(address, self.address.login, timeout_seconds=seconds)

    def _try(self, member: MemberConnection) -> MemberAnswers:
        try:
            member.knock()
            return self._answers(member)
        except MemberUnavailable as error:
            return MemberAnswers(member.address, error=error.message, silent=bool(error.details["silent"]))
        except CommandRefused as error:
            return MemberAnswers(member.address, error=error.message, silent=False)

    def _answers(self, member: MemberConnection) -> MemberAnswers:
        status = member.command("replSetGetStatus")
        config = member.command("replSetGetConfig")["config"]
        server = member.command("serverStatus", **_SERVER_SECTIONS)
        disk = member.command("dbStats", database="local")
        sizes = [member.command("dbStats", database=name) for name in self._databases]
        return MemberAnswers(
            member.address,
            status=status,
            config=config,
            server=server,
            documents=sum(int(s["objects"]) for s in sizes),
            data_bytes=sum(int(s["dataSize"]) for s in sizes),
            free_disk_bytes=int(disk["fsTotalSize"] - disk["fsUsedSize"]) if "fsTotalSize" in disk else None,
            map_version=self._map_version(member),
        )

    def _map_version(self, member: MemberConnection) -> int | None:
        database, collection, field = _SHARD_MAP if "prodctl_meta" in self._databases else _OWNED_RANGES
        try:
            found: list[Document] = member.find(database, collection, {"_id": "products"})
        except CommandRefused:
            return None  # a member that recovers answers no reads; that it recovers is said already
        return int(found[0][field]) if found else None


Lack = tuple[str, str, str]
"""What would have to be done: action, what, reason."""

_NOT_YET_INITIALIZED = 94
_PATIENCE_SECONDS = 10.0
"""For a member on a machine that is very busy; one that is down refuses the connection at once."""
_STATES = {1: "PRIMARY", 2: "SECONDARY"}


class SetCheck:
    """One set, asked at ``members``, the addresses that it shall have; ``login`` as in ``ReplicaSetAdmin``."""

    def __init__(self, name: str, members: Sequence[str], login: Document) -> None:
        self._name = name
        self._addresses = list(members)
        self._login = login
        self._members = {a: MemberConnection(a, login, timeout_seconds=_PATIENCE_SECONDS) for a in members}

    def close(self) -> None:
        """Let go of the connections."""
        for member in self._members.values():
            member.close()

    def roles(self) -> dict[str, str]:
        """PRIMARY, SECONDARY, another state's name, ``not initiated``, or why there is no answer, of every member."""
        with ThreadPoolExecutor(len(self._addresses)) as pool:
            return dict(zip(self._addresses, pool.map(self._role, self._addresses), strict=True))

    def lacks(
        self,
        roles_seen: dict[str, str],
        users: Sequence[DatabaseUser],
        roles: Sequence[DatabaseRole],
        timing: SetTiming,
    ) -> Iterator[Lack]:
        """Everything that is missing or differs; the roles of the members as they were just seen."""
        if set(roles_seen.values()) == {"not initiated"}:
            yield "initiate", "the set", "none of its members has a configuration"
            return
        primary = next((a for a, role in roles_seen.items() if role == "PRIMARY"), None)
        if primary is None:
            yield "elect", "a primary", "there is none"
            return
        member = self._members[primary]
        try:
            config = member.command("replSetGetConfig")["config"]
            yield from self._config_lacks(config, roles_seen, timing)
            yield from _role_lacks(member, roles)
            yield from self._user_lacks(member, users)
            concern = member.command("getDefaultRWConcern").get("defaultWriteConcern", {})
            if concern.get("w") != "majority":
                yield "set", "the default write concern", f"it is {concern.get('w', 'not set')}, not majority"
        except (MemberUnavailable, CommandRefused, ConfigError) as error:
            yield "look", "again", f"{primary}: {error.message}"

    def _config_lacks(self, config: Document, roles_seen: dict[str, str], timing: SetTiming) -> Iterator[Lack]:
        known = {m["host"] for m in config["members"]}
        for address in self._addresses:
            if address not in known:
                yield "add", f"member {address}", "the set does not know it"
            elif (role := roles_seen[address]) not in _STATES.values():
                yield "bring up", f"member {address}", role
        for name, value in timing.as_settings().items():
            if (seen := config["settings"].get(name)) != value:
                yield "set", name, f"it is {seen}, not {value}"

    def _user_lacks(self, primary: MemberConnection, users: Sequence[DatabaseUser]) -> Iterator[Lack]:
        found = {u["user"]: {(r["role"], r["db"]) for r in u["roles"]} for u in primary.command("usersInfo")["users"]}
        for user in users:
            if user.name not in found:
                yield "make", f"user {user.name}", "it is missing"
            elif found[user.name] != set(user.roles):
                yield "repair", f"user {user.name}", "its roles differ"
            elif not self._logs_in(primary.address, user):
                yield "repair", f"user {user.name}", "its password differs"

    def _logs_in(self, address: str, user: DatabaseUser) -> bool:
        login = {**self._login, "username": user.name, "password": user.password, "authSource": "admin"}
        member = MemberConnection(address, login)
        try:
            member.command("ping")
        except ConfigError:
            return False
        finally:
            member.close()
        return True

    def _role(self, address: str) -> str:
        member = self._members[address]
        try:
            member.knock()
            status = member.command("replSetGetStatus")
        except CommandRefused as refusal:
            return "not initiated" if refusal.details["server_code"] == _NOT_YET_INITIALIZED else refusal.message
        except (MemberUnavailable, ConfigError) as error:
            return error.message
        mine: Document = next((m for m in status["members"] if m.get("self")), {})
        return _STATES.get(status["myState"]) or str(mine.get("stateStr", "no member"))


def _role_lacks(primary: MemberConnection, roles: Sequence[DatabaseRole]) -> Iterator[Lack]:
    if not roles:
        return
    found = {r["role"]: r for r in primary.command("rolesInfo", 1, showPrivileges=True)["roles"]}
    for role in roles:
        if role.name not in found:
            yield "make", f"role {role.name}", "it is missing"
        elif _plain(found[role.name]["privileges"]) != _plain(role.as_command()["privileges"]):
            yield "repair", f"role {role.name}", "its privileges differ"


def _plain(privileges: Sequence[Document]) -> set[tuple[str, str, frozenset[str]]]:
    return {(p["resource"]["db"], p["resource"]["collection"], frozenset(p["actions"])) for p in privileges}
