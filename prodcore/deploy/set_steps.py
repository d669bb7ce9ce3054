"""Bringing one replica set from what was seen to what is wanted: members started, restarted in turn, set up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prodcore.deploy.container import Container
from prodcore.deploy.host_plan import HostPlan
from prodcore.deploy.layout import DeployedMember, Layout
from prodcore.deploy.seen import SetSeen
from prodcore.errors import Unavailable
from prodcore.incus.client import Incus
from prodcore.installation.progress import Progress

_UNIT_SECONDS = 120.0
_TASK_SECONDS = 240.0
_PRIMARY = "PRIMARY"
_TRIES = 3


class SetSteps:
    """One set. ``request`` is what ``deploy inside`` needs to know about it; ``release`` carries it out."""

    def __init__(
        self, layout: Layout, incus: Incus, name: str, request: Mapping[str, Any], release: str, progress: Progress
    ) -> None:
        self._layout = layout
        self._incus = incus
        self._name = name
        self._members = [m for m in layout.members if m.replica_set == name]
        self._request = dict(request)
        self._release = release
        self._progress = progress

    def bring_up(self, plans: Mapping[str, HostPlan], seen: SetSeen) -> None:
        """Start what does not run, set up what is not, restart what is stale: secondaries first, never two at once."""
        starting = [m for m in self._members if m.unit in plans[m.host].start]
        stale = [m for m in self._members if m.unit in plans[m.host].restart]
        for member in starting:
            self._systemctl(member, "start")
        if stale and _PRIMARY not in seen.roles.values():  # nobody can be spared, and nobody works
            for member in stale:
                self._systemctl(member, "restart")
            stale = []
        if seen.lacks or starting:
            self._inside("set-up")
            self._progress(self._name, "is set up, with all its members")
        if stale:
            self._roll(stale)

    def _roll(self, stale: list[DeployedMember]) -> None:
        """Restart members in turn, the primary last, each time waiting until all of them are well."""
        waiting = {m.endpoint: m for m in stale}
        tries = _TRIES
        while waiting:
            self._inside("wait-healthy")
            primary = self._primary()
            secondaries = [m for endpoint, m in waiting.items() if endpoint != primary]
            if not secondaries:
                tries -= 1
                self._hand_over(is_last_try=tries == 0)
                continue
            self._systemctl(secondaries[0], "restart")
            del waiting[secondaries[0].endpoint]
        self._inside("wait-healthy")

    def _hand_over(self, *, is_last_try: bool) -> None:
        """Let the primary step down. A machine that is very busy may elect another one, or the same one again."""
        try:
            report = self._inside("hand-over")
        except Unavailable as error:
            if is_last_try:
                raise
            self._progress(self._name, f"looks again: {error.message}")
        else:
            self._progress(self._name, f"has a new primary: {report['new_primary']}")

    def _primary(self) -> str:
        roles: dict[str, str] = self._inside("look")["set"]["roles"]
        return next((endpoint for endpoint, role in roles.items() if role == _PRIMARY), "")

    def _systemctl(self, member: DeployedMember, verb: str) -> None:
        Container(self._incus, member.host).ask("systemctl", {verb: [member.unit]}, seconds=_UNIT_SECONDS)
        self._progress(member.name, f"is {verb}ed")

    def _inside(self, task: str) -> Any:
        host = Container(self._incus, self._members[0].host)
        answer = host.prodctl(task, self._request, release=self._release, seconds=_TASK_SECONDS)
        if answer is None:
            raise Unavailable(f"{host.name}: release {self._release} is not whole", hint="run apply once more")
        return answer
