"""From the observed state to the desired one, in rounds: observe, compare, do; until nothing differs any more."""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prodcore.deploy.container import Container, run_parallel
from prodcore.deploy.layout import DeployedMember, Layout
from prodcore.deploy.lifecycle import IncusSteps
from prodcore.deploy.observe import Observed, ObservedSet
from prodcore.deploy.plan import Change, HostPlan, IncusPlan, Plan
from prodcore.deploy.spec import APT_KEY, APT_SOURCE, CURRENT_RELEASE, RELEASES_DIR, WHEELHOUSES_DIR, File, Link
from prodcore.deploy.system import DeployedSystem
from prodcore.errors import Unavailable
from prodcore.incus.client import Incus
from prodcore.installation import Progress, no_progress
from prodcore.installation.secret import locked
from prodcore.installation.sets import REPLICA_SETS, USERS_SET

_ROUNDS = 5
_UNIT_SECONDS = 180.0
_PREPARE_SECONDS = 3600.0
_MEMBER_UNIT = "mongod@"
_WRITE_SECONDS = 180.0
_PACKAGES_SECONDS = 900.0
_PUSH_SECONDS = 600.0
_APT = (APT_SOURCE, APT_KEY)
_INSTALL_SECONDS = 900.0
_MEMBER_SECONDS = 120.0
_TASK_SECONDS = 240.0
_PRIMARY = "PRIMARY"
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Applied:
    """What apply did, in all its rounds."""

    changes: tuple[Change, ...]


def apply(system: DeployedSystem, progress: Progress = no_progress) -> Applied:
    """Make it so. Raises Conflict while another prodctl does, or when something that is not ours is in the way."""
    system.operator.begin()
    with locked(system.directory):
        applied = Apply(system, progress).run()
        system.write_operator_env()
    return applied


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
            observed, plan = self._system.compare()
            if not plan.changes:
                self._system.wait_ready()
                return Applied(tuple(done))
            self._make_containers(plan.incus)
            if any(one.start for one in plan.incus.instances):  # nobody could look inside before
                done += plan.incus.changes
                continue
            done += plan.changes
            self._carry_out(observed, plan)
        left = "; ".join(f"{c.where}: {c.action} {c.what} ({c.reason})" for c in plan.changes[:3])
        raise Unavailable(f"there are still differences after {_ROUNDS} rounds: {left}", hint="prodctl deploy status")

    def _carry_out(self, observed: Observed, plan: Plan) -> None:
        run_parallel(self._prepare_host, plan.hosts.values())
        groups = groups_of(list(plan.hosts.values()), lambda name: observed.inside(name).machine)
        run_parallel(self._bring_release, groups)
        run_parallel(lambda name: self._set_steps(name).bring_up(plan.hosts, observed.replica_set(name)), REPLICA_SETS)
        if not plan.is_prepared or any(host.release for host in plan.hosts.values()):
            self._prepare()
        auth, web = self._layout.auth.name, self._layout.web.name
        for names in ([auth], [web], [host.name for host in self._layout.db_hosts]):
            run_parallel(self._run_services, [plan.hosts[name] for name in names])
        self._system.wait_ready()

    def _make_containers(self, plan: IncusPlan) -> None:
        self._incus_steps.make_surroundings(plan)
        run_parallel(self._incus_steps.make_instance, plan.instances)

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
            run_parallel(
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

    def bring_up(self, plans: Mapping[str, HostPlan], observed: ObservedSet) -> None:
        """Start what does not run, set up what is not, restart what is stale: secondaries first, never two at once."""
        starting = [m for m in self._members if m.unit in plans[m.host].start]
        stale = [m for m in self._members if m.unit in plans[m.host].restart]
        for member in starting:
            self._systemctl(member, "start")
        if stale and _PRIMARY not in observed.roles.values():  # nobody can be spared, and nobody works
            for member in stale:
                self._systemctl(member, "restart")
            stale = []
        if observed.missing or starting:
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
        roles: dict[str, str] = self._inside("observe")["set"]["roles"]
        return next((endpoint for endpoint, role in roles.items() if role == _PRIMARY), "")

    def _systemctl(self, member: DeployedMember, verb: str) -> None:
        Container(self._incus, member.host).ask("systemctl", {verb: [member.unit]}, seconds=_MEMBER_SECONDS)
        self._progress(member.name, f"is {verb}ed")

    def _inside(self, task: str) -> Any:
        host = Container(self._incus, self._members[0].host)
        answer = host.prodctl(task, self._request, release=self._release, seconds=_TASK_SECONDS)
        if answer is None:
            raise Unavailable(f"{host.name}: release {self._release} is not whole", hint="run apply once more")
        return answer


def prepare_host(container: Container, plan: HostPlan, progress: Progress) -> None:
    """Packages, accounts, a pushed mongod, directories, files; then units are known and enabled.

    The link to the release stays: it is switched at the moment of the restart.
    """
    if plan.packages:
        container.ask("write", _writing(files=_only(plan, _APT)), seconds=_WRITE_SECONDS)
        progress(plan.host, f"installs {', '.join(plan.packages)}")
        container.ask("packages", {"names": list(plan.packages)}, seconds=_PACKAGES_SECONDS)
    if plan.accounts:
        container.ask("write", _writing(accounts=plan.accounts), seconds=_WRITE_SECONDS)
    for binary in plan.binaries:
        progress(plan.host, f"gets {Path(binary.source).name} from {binary.source}")
        container.push(f"{binary.path}.new", Path(binary.source), seconds=_PUSH_SECONDS)
        container.ask("take", {"path": binary.path}, seconds=_WRITE_SECONDS)
    links = tuple(link for link in plan.links if link.path != CURRENT_RELEASE)
    if plan.directories or plan.rewritten or plan.access_only or plan.removed or links:
        written = _writing(plan, files=plan.rewritten, links=links)
        container.ask("write", written, seconds=_WRITE_SECONDS)
    if plan.needs_reload or plan.enable:
        reading = {"reload": plan.needs_reload, "enable": list(plan.enable)}
        container.ask("systemctl", reading, seconds=_WRITE_SECONDS)


def switch_release(plan: HostPlan) -> dict[str, Any] | None:
    """What ``systemctl`` writes just before a restart; None when the release stays."""
    links = tuple(link for link in plan.links if link.path == CURRENT_RELEASE)
    return _writing(links=links) if links else None


def _only(plan: HostPlan, paths: tuple[str, ...]) -> tuple[File, ...]:
    return tuple(file for file in plan.rewritten if file.path in paths)


def _writing(
    plan: HostPlan | None = None,
    *,
    accounts: tuple[str, ...] = (),
    files: tuple[File, ...] = (),
    links: tuple[Link, ...] = (),
) -> dict[str, Any]:
    """A request of the agent's ``write``; with ``plan``, what it says of directories and of modes, too."""

    def as_request(file: File, *, whole: bool) -> dict[str, Any]:
        content = base64.b64encode(file.content).decode() if whole else None
        return {"path": file.path, "mode": file.mode, "owner": file.owner, "content": content}

    access_only = plan.access_only if plan else ()
    directories = plan.directories if plan else ()
    return {
        "accounts": list(accounts),
        "directories": [{"path": d.path, "mode": d.mode, "owner": d.owner} for d in directories],
        "files": [as_request(f, whole=True) for f in files] + [as_request(f, whole=False) for f in access_only],
        "removed": list(plan.removed) if plan else [],
        "links": [{"path": link.path, "target": link.target} for link in links],
    }


def groups_of(plans: Sequence[HostPlan], machine: Callable[[str], str]) -> list[list[HostPlan]]:
    """The containers of each kind of which any needs the release; first those that have it already."""
    kinds = sorted({machine(plan.host) for plan in plans if plan.release})
    return [sorted((p for p in plans if machine(p.host) == kind), key=lambda p: bool(p.release)) for kind in kinds]


def install_release(container: Container, plan: HostPlan, python: str, wheelhouse: Path, progress: Progress) -> None:
    """From the wheelhouse, with every hash checked; nothing is fetched from anywhere."""
    progress(plan.host, f"installs release {plan.release}")
    request = {
        "path": f"{RELEASES_DIR}/{plan.release}",
        "wheelhouse": f"{WHEELHOUSES_DIR}/{plan.release}",
        "python": python,
        "forget": list(plan.forget),
    }
    container.ask("release", request, content=_pack(wheelhouse), seconds=_INSTALL_SECONDS)


def read_release(container: Container, release: str) -> bytes:
    """An installed release as a tar file."""
    return container.output(
        ["tar", "--create", "--file=-", f"--directory={RELEASES_DIR}", "--exclude=.complete", release],
        seconds=_INSTALL_SECONDS,
    )


def copy_release(container: Container, plan: HostPlan, packed: bytes, progress: Progress) -> None:
    """To a container that is like the one that it was installed in: a virtual environment holds its own place."""
    progress(plan.host, f"gets a copy of release {plan.release}")
    request = {"path": f"{RELEASES_DIR}/{plan.release}", "forget": list(plan.forget)}
    container.ask("unpack", request, content=packed, seconds=_INSTALL_SECONDS)


def _pack(directory: Path) -> bytes:
    """Every file of a wheelhouse in one tar."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(directory.iterdir()):
            if path.is_file():
                archive.add(path, path.name)
    return packed.getvalue()
