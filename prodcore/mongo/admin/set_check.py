"""What a replica set lacks of what it shall be: members, timing, roles, users, write concern. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from prodcore.errors import CommandRefused, ConfigError, MemberUnavailable
from prodcore.mongo.admin.member import MemberConnection
from prodcore.mongo.admin.replica_set_admin import DatabaseRole, DatabaseUser, SetTiming
from prodcore.mongo.client.replica_set import Document

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
