"""Setting up a replica set: initiate, elect, add members, users, defaults; each step harmless when it is done already.

Every wait ends with the budget of ``prodcore.deadline``. Whoever comes here logs in with the keyfile, as the members
do among themselves: that works before the first user exists, and still does when a password is lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bson.min_key import MinKey

from prodcore.deadline import remaining
from prodcore.errors import CommandRefused, Conflict, MemberUnavailable, NoPrimary, Unavailable
from prodcore.mongo.admin.member import MemberConnection
from prodcore.mongo.client.replica_set import Document

T = TypeVar("T")

_POLL_SECONDS = 0.02
_SLOW_POLL_SECONDS = 0.1
_ANSWER_SECONDS = 1.0
"""A member that takes longer for a question that costs nothing is taken for absent, for now."""
_NOT_YET_INITIALIZED = 94
_ALREADY_INITIALIZED = 23
_REMOVED = 93  # it has a configuration, and does not find itself in it
_EXISTS = (51002, 51003)  # a role, a user
# Another reconfiguration is under way, the last one is not yet known to a majority, or the primary has changed.
_LATER = {109, 189, 308, 10107}
_READY_STATES = {1, 2}  # PRIMARY, SECONDARY


@dataclass(frozen=True, slots=True)
class SetTiming:
    """How soon a set notices that a member is gone, and elects."""

    election_timeout_ms: int
    heartbeat_ms: int

    def as_settings(self) -> Document:
        """As it stands in a set's configuration."""
        return {"electionTimeoutMillis": self.election_timeout_ms, "heartbeatIntervalMillis": self.heartbeat_ms}


@dataclass(frozen=True, slots=True)
class DatabaseUser:
    """A SCRAM user of one set, with least rights: ``roles`` are pairs of role and database."""

    name: str
    password: str = field(repr=False)
    roles: tuple[tuple[str, str], ...]

    def as_command(self) -> Document:
        """The arguments of createUser and updateUser."""
        return {
            "pwd": self.password,
            "roles": [{"role": role, "db": database} for role, database in self.roles],
            "mechanisms": ["SCRAM-SHA-256"],
        }


@dataclass(frozen=True, slots=True)
class DatabaseRole:
    """What the server's own roles cannot say: some actions on one collection only."""

    name: str
    database: str
    collection: str
    actions: tuple[str, ...]

    def as_command(self) -> Document:
        """The arguments of createRole and updateRole."""
        resource = {"db": self.database, "collection": self.collection}
        return {"privileges": [{"resource": resource, "actions": list(self.actions)}], "roles": []}


def keyfile_login(keyfile: str) -> Document:
    """How to log in with the content of a keyfile: as a member, with every right."""
    secret = "".join(keyfile.split())
    return {
        "username": "__system",
        "password": secret,
        "authSource": "local",
        "authMechanism": "SCRAM-SHA-256",
    }


class ReplicaSetAdmin:
    """One set, its members asked directly. ``members`` are the addresses it shall have."""

    def __init__(self, name: str, members: Sequence[str], login: Document) -> None:
        self.name = name
        self._members = {address: MemberConnection(address, login, timeout_seconds=5.0) for address in members}

    def close(self) -> None:
        """Let go of the connections."""
        for member in self._members.values():
            member.close()

    def is_initiated(self, address: str) -> bool:
        """Whether this member has ever heard of a configuration."""
        try:
            self._members[address].command("replSetGetStatus")
        except CommandRefused as refusal:
            if refusal.details["server_code"] == _NOT_YET_INITIALIZED:
                return False
            if refusal.details["server_code"] != _REMOVED:
                raise
        return True

    def initiate(self, first: str, timing: SetTiming) -> None:
        """Make a set of one member, which is primary at once. Others follow with ``ensure_members``."""
        config = {
            "_id": self.name,
            "version": 1,
            "members": [{"_id": 0, "host": first}],
            "settings": timing.as_settings(),
        }
        try:
            self._members[first].command("replSetInitiate", config, timeout_seconds=30.0)  # it writes a lot
        except CommandRefused as refusal:
            if refusal.details["server_code"] != _ALREADY_INITIALIZED:
                raise

    def ensure_primary(self) -> str:
        """The primary's address; where there is none, the member that knows most is asked to run for election."""

        def find_or_elect() -> str | None:
            hellos = self._hellos()
            for address, hello in hellos.items():
                if hello.get("isWritablePrimary"):
                    return address
            candidates = [address for address, hello in hellos.items() if hello.get("secondary")]
            if candidates and not any(hello.get("primary") for hello in hellos.values()):
                best = max(candidates, key=lambda address: _newest(hellos[address]))
                self._try_command(best, "replSetStepUp")
            return None

        return self._until(find_or_elect, NoPrimary(f"{self.name} has no primary", replica_set=self.name))

    def ensure_members(self, addresses: Sequence[str], timing: SetTiming) -> None:
        """Add these members and set the timing, where the configuration differs. They may be down: they join later."""

        def reconfigure() -> bool | None:
            primary = self.ensure_primary()
            answer = self._try_command(primary, "replSetGetConfig")
            if answer is None:
                return None
            current = answer["config"]
            wanted = _merge(current, addresses, timing)
            if wanted == current:
                return True
            try:
                self._members[primary].command("replSetReconfig", wanted | {"version": current["version"] + 1})
            except MemberUnavailable:
                return None
            except CommandRefused as refusal:
                if refusal.details["server_code"] in _LATER or self._has_changed(primary, current):
                    return None
                raise
            return True

        self._until(reconfigure, Unavailable(f"{self.name} did not accept its configuration", replica_set=self.name))

    def follow_move(self) -> bool:
        """Give a set whose members have all moved its new addresses, by force; whether it had moved.

        Nobody is primary then: each member finds itself at none of the addresses that it knows. Force is safe only
        because these are all members of the set, so no others can elect a primary: whoever does not answer, or tells
        of another set or of more members, makes this a case for a person. Raises Conflict.
        """
        configs = {address: self._stored_config(address) for address in self._members}
        known = [config for config in configs.values() if config]
        if any(_hosts(config) & set(self._members) for config in known) or not known:
            return False
        if len(known) < len(configs) or len({_identity(config) for config in known}) > 1:
            raise Conflict(
                f"the members of {self.name} have other addresses than they know, and are not of one set",
                hint="bring back the members that belong together; nothing was changed",
            )
        best = max(configs, key=lambda address: _recency(configs[address] or {}))
        wanted = _with_hosts(configs[best] or {}, list(self._members))

        def reconfigure() -> bool | None:
            try:
                self._members[best].command("replSetReconfig", wanted, force=True)
            except MemberUnavailable:
                return None
            except CommandRefused:  # it still looks for itself at the old addresses, which takes its time
                return _hosts(self._stored_config(best) or {}) == set(self._members) or None
            return True

        self._until(reconfigure, Unavailable(f"{best} did not accept its new address", replica_set=self.name))
        return True

    def count_documents(self, database: str, collection: str) -> int:
        """How many documents the primary has, along the index of ids; what a majority has."""

        def count() -> int | None:
            try:
                answer = self._members[self.ensure_primary()].command(
                    "count",
                    collection,
                    database=database,
                    query={"_id": {"$gte": MinKey()}},
                    hint={"_id": 1},
                    readConcern={"level": "majority"},
                    timeout_seconds=max(remaining(), 0.1),
                )
            except MemberUnavailable:
                return None
            return int(answer["n"])

        return self._until(count, Unavailable(f"{self.name} does not count {collection} in time"))

    def ensure_users(self, users: Sequence[DatabaseUser], roles: Sequence[DatabaseRole] = ()) -> None:
        """Make these roles and users, or give them these privileges, passwords and roles."""
        wanted: list[tuple[str, DatabaseRole | DatabaseUser]] = [("Role", role) for role in roles]
        wanted += [("User", user) for user in users]
        for kind, one in wanted:
            try:
                self._write(f"create{kind}", one.name, **one.as_command())
            except CommandRefused as refusal:
                if refusal.details["server_code"] not in _EXISTS:
                    raise
                self._write(f"update{kind}", one.name, **one.as_command())

    def ensure_majority_default(self) -> None:
        """Writes that ask for nothing else wait for a majority."""
        self._write("setDefaultRWConcern", 1, defaultWriteConcern={"w": "majority"})

    def prove_write(self, copies: int | str = "majority") -> None:
        """Write a note into the oplog, journaled on that many members. Raises Unavailable when the time is up."""
        self._write("appendOplogNote", 1, copies=copies, data={"msg": "prodctl: is this set writable?"})

    def wait_ready(self, addresses: Sequence[str]) -> None:
        """Wait until all of these are PRIMARY or SECONDARY and have a vote."""

        def all_ready() -> bool | None:
            status = self._try_command(self.ensure_primary(), "replSetGetStatus") or {}
            ready = {m["name"] for m in status.get("members", ()) if m["state"] in _READY_STATES}
            return (ready >= set(addresses) and status["votingMembersCount"] >= len(addresses)) or None

        not_ready = Unavailable(f"not every member of {self.name} is ready", replica_set=self.name)
        self._until(all_ready, not_ready, every=_SLOW_POLL_SECONDS)

    def wait_copying(self, address: str) -> None:
        """Wait until a new member has begun to copy the data, or has done so."""

        def begun() -> bool | None:
            status = self._try_command(address, "replSetGetStatus") or {}
            return bool(status.get("syncSourceHost")) or status.get("myState") in _READY_STATES or None

        self._until(begun, Unavailable(f"{address} did not start to copy {self.name}", replica_set=self.name))

    def wait_member_ready(self, address: str) -> str:
        """Wait until this member says that it is PRIMARY or SECONDARY; which of the two."""

        def role() -> str | None:
            hello = self._try_command(address, "hello") or {}
            if hello.get("isWritablePrimary"):
                return "PRIMARY"
            return "SECONDARY" if hello.get("secondary") else None

        return self._until(role, Unavailable(f"{address} is neither PRIMARY nor SECONDARY", replica_set=self.name))

    def rotate_certificates(self, address: str) -> None:
        """Have a member show the certificate that its file holds by now. Connections that there are go on."""
        self._members[address].command("rotateCertificates")

    def roles(self) -> dict[str, str]:
        """PRIMARY, SECONDARY or JOINING of every member that answers."""
        return {address: _role(hello) for address, hello in self._hellos().items()}

    def _write(self, command: str, value: Any, *, copies: int | str = "majority", **arguments: Any) -> None:
        """Run a command on the primary, wherever that is by now; the commands here may be repeated."""

        def attempt() -> bool | None:
            primary = self.ensure_primary()
            left = max(remaining(), 0.1)
            concern = {"w": copies, "j": True, "wtimeout": int(left * 1000)}
            try:
                self._members[primary].command(
                    command, value, timeout_seconds=left + 1, writeConcern=concern, **arguments
                )
            except MemberUnavailable:
                return None
            except CommandRefused as refusal:
                if refusal.details["server_code"] in _LATER:
                    return None
                raise
            return True

        self._until(
            attempt, Unavailable(f"{self.name} takes no write on {copies} of its members", replica_set=self.name)
        )

    def _has_changed(self, primary: str, config: Document) -> bool:
        """Whether the set has reconfigured itself meanwhile, as it does when a new member has caught up."""
        answer = self._try_command(primary, "replSetGetConfig")
        return answer is None or bool(answer["config"]["version"] != config["version"])

    def _stored_config(self, address: str) -> Document | None:
        """The configuration on a member's disk: there, too, while it does not know yet who it is."""
        found = self._members[address].find("local", "system.replset", {})
        return found[0] if found else None

    def _hellos(self) -> dict[str, Document]:
        answers = {address: self._try_command(address, "hello") for address in self._members}
        return {address: hello for address, hello in answers.items() if hello}

    def _try_command(self, address: str, command: str) -> Document | None:
        """The answer, None when the member does not answer soon or refuses just now."""
        member = self._members[address]
        try:
            member.knock()
            return member.command(command, timeout_seconds=_ANSWER_SECONDS)
        except (MemberUnavailable, CommandRefused):
            return None

    def _until(self, attempt: Callable[[], T | None], otherwise: Unavailable, every: float = _POLL_SECONDS) -> T:
        """The first answer that is not None. Raises ``otherwise`` when the budget is spent."""
        while (answer := attempt()) is None:
            if remaining() <= 0:
                raise otherwise
            time.sleep(every)
        return answer


def _role(hello: Document) -> str:
    if hello.get("isWritablePrimary"):
        return "PRIMARY"
    return "SECONDARY" if hello.get("secondary") else "JOINING"


def _newest(hello: Document) -> tuple[int, int, int]:
    """How much a member has: term and time of its last write."""
    last = hello["lastWrite"]["opTime"]
    return int(last["t"]), last["ts"].time, last["ts"].inc


def _hosts(config: Document) -> set[str]:
    return {member["host"] for member in config.get("members", ())}


def _identity(config: Document) -> tuple[str, str, tuple[int, ...]]:
    """Which set it is, and which members it has, wherever they are."""
    ids = sorted(int(member["_id"]) for member in config["members"])
    return str(config["_id"]), str(config["settings"]["replicaSetId"]), tuple(ids)


def _recency(config: Document) -> tuple[int, int]:
    return int(config.get("term", -1)), int(config["version"])


def _with_hosts(config: Document, addresses: Sequence[str]) -> Document:
    """The configuration with these addresses, given to its members in their order. Raises Conflict."""
    members = sorted(config["members"], key=lambda member: int(member["_id"]))
    if len(members) != len(addresses):
        raise Conflict(f"{config['_id']} has {len(members)} members, and {len(addresses)} addresses are given")
    return config | {"members": [m | {"host": a} for m, a in zip(members, addresses, strict=True)]}


def _merge(current: Document, addresses: Sequence[str], timing: SetTiming) -> Document:
    """The configuration with these members and this timing; what else it says stays."""
    members = list(current["members"])
    known = {m["host"] for m in members}
    highest = max(m["_id"] for m in members)
    members += [
        {"_id": highest + n, "host": address}
        for n, address in enumerate([a for a in addresses if a not in known], start=1)
    ]
    return current | {"members": members, "settings": current["settings"] | timing.as_settings()}
