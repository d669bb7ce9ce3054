"""From what is there to what is wanted, in rounds: look, compare, do; until there is no difference any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prodcore.deploy.change import Change
from prodcore.deploy.concurrency import each
from prodcore.deploy.container import Container
from prodcore.deploy.host_plan import HostPlan
from prodcore.deploy.host_steps import prepare_host, switch_release
from prodcore.deploy.incus_plan import IncusPlan
from prodcore.deploy.incus_steps import IncusSteps
from prodcore.deploy.plan import Plan
from prodcore.deploy.release_steps import copy_release, groups_of, install_release, read_release
from prodcore.deploy.seen import Seen
from prodcore.deploy.set_steps import SetSteps
from prodcore.errors import Unavailable
from prodcore.installation.progress import Progress
from prodcore.installation.sets import REPLICA_SETS, USERS_SET

if TYPE_CHECKING:
    from prodcore.deploy.system import DeployedSystem

_ROUNDS = 5
_UNIT_SECONDS = 180.0
_PREPARE_SECONDS = 3600.0
_MEMBER_UNIT = "mongod@"


@dataclass(frozen=True, slots=True)
class Applied:
    """What apply did, in all its rounds."""

    changes: tuple[Change, ...]


class Apply:
    """One run. Whatever a killed one has left is a difference like any other."""

    def __init__(self, system: DeployedSystem, progress: Progress) -> None:
        self._system = system
        self._layout = system.layout
        self._progress = progress
        self._incus_steps = IncusSteps(system.layout, system.incus, progress)

    def run(self) -> Applied:
        """Raises Unavailable when something does not come up, or there are still differences in the end."""
        done = list[Change]()
        self._incus_steps.wait_for_others()
        for _round in range(_ROUNDS):
            seen, plan = self._system.compare()
            if not plan.changes:
                self._system.wait_ready()
                return Applied(tuple(done))
            self._make_containers(plan.incus)
            if any(one.start for one in plan.incus.instances):  # nobody could look inside before
                done += plan.incus.changes
                continue
            done += plan.changes
            self._carry_out(seen, plan)
        left = "; ".join(f"{c.where}: {c.action} {c.what} ({c.reason})" for c in plan.changes[:3])
        raise Unavailable(f"there are still differences after {_ROUNDS} rounds: {left}", hint="prodctl deploy status")

    def _carry_out(self, seen: Seen, plan: Plan) -> None:
        each(self._prepare_host, plan.hosts.values())
        groups = groups_of(list(plan.hosts.values()), lambda name: seen.inside(name).machine)
        each(self._bring_release, groups)
        each(lambda name: self._set_steps(name).bring_up(plan.hosts, seen.replica_set(name)), REPLICA_SETS)
        if not plan.is_prepared or any(host.release for host in plan.hosts.values()):
            self._prepare()
        auth, web = self._layout.auth.name, self._layout.web.name
        for names in ([auth], [web], [host.name for host in self._layout.db_hosts]):
            each(self._run_services, [plan.hosts[name] for name in names])
        self._system.wait_ready()

    def _make_containers(self, plan: IncusPlan) -> None:
        self._incus_steps.make_surroundings(plan)
        each(self._incus_steps.make_instance, plan.instances)

    def _prepare_host(self, plan: HostPlan) -> None:
        prepare_host(Container(self._system.incus, plan.host), plan, self._progress)

    def _bring_release(self, plans: Sequence[HostPlan]) -> None:
        """Copy it from the first of containers that are alike to those without it; install it there if need be."""
        first, *others = plans
        table, release = self._layout.deployment.release, self._system.release
        container = Container(self._system.incus, first.host)
        if first.release:
            install_release(container, first, table.python, table.wheelhouse, self._progress)
        lacking = [plan for plan in others if plan.release]
        if lacking:
            packed = read_release(container, release)
            each(
                lambda plan: copy_release(Container(self._system.incus, plan.host), plan, packed, self._progress),
                lacking,
            )

    def _set_steps(self, name: str) -> SetSteps:
        system = self._system
        return SetSteps(self._layout, system.incus, name, system.set_requests[name], system.release, self._progress)

    def _prepare(self) -> None:
        host = Container(self._system.incus, self._layout.users_host.name)
        request = self._system.set_requests[USERS_SET]
        host.prodctl("prepare", request, release=self._system.release, seconds=_PREPARE_SECONDS)
        self._progress("cluster", "has its shard map and indexes")

    def _run_services(self, plan: HostPlan) -> None:
        """Restart what is stale; with a new release, stop, switch and start, so that no process reads from both."""
        start = [unit for unit in plan.start if not unit.startswith(_MEMBER_UNIT)]
        restart = [unit for unit in plan.restart if not unit.startswith(_MEMBER_UNIT)]
        files = switch_release(plan)
        if not (start or restart or files):
            return
        stop = list[str]()
        if files or any(unit.endswith(".socket") for unit in restart):  # which moves only while nobody serves it
            stop, start, restart = restart, [*restart, *start], []
        request = {"files": files, "stop": stop, "start": start, "restart": restart}
        Container(self._system.incus, plan.host).ask("systemctl", request, seconds=_UNIT_SECONDS)
        for unit in (*start, *restart):
            self._progress(plan.host, f"runs {unit}")
