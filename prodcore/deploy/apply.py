"""From the observed state to the desired one, in rounds: observe, compare, do; until nothing differs any more."""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prodcore.deadline import run_parallel
from prodcore.deploy.container import Container
from prodcore.deploy.layout import DeployedMember, Layout
from prodcore.deploy.lifecycle import IncusSteps
from prodcore.deploy.observe import Observed, ObservedSet, set_of
from prodcore.deploy.plan import HostPlan, IncusPlan, Plan, PlannedChange
from prodcore.deploy.spec import (
    APT_KEY,
    APT_SOURCE,
    RELEASE_MANIFEST,
    RELEASES_DIR,
    WHEELHOUSES_DIR,
    File,
    Link,
)
from prodcore.deploy.system import DeployedSystem
from prodcore.errors import ConfigError, IncusRefused, Unavailable
from prodcore.incus import Incus
from prodcore.installation import Progress, no_progress
from prodcore.installation.secret import locked
from prodcore.installation.sets import USERS_SET

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

    changes: tuple[PlannedChange, ...]


def apply(system: DeployedSystem, progress: Progress = no_progress) -> Applied:
    """Make it so. Raises Conflict while another prodctl does, or when something that is not ours is in the way."""
    system.operator.begin()
    with locked(system.directory):
        applied = Apply(system, progress).run()
        system.write_operator_env()
    return applied


def remove_shard(system: DeployedSystem, name: str, progress: Progress = no_progress) -> None:
    """Take a further shard away with its data: first from the services, which fail no request by it, then at all.

    Raises ShardNotFound, and Conflict where it is in use. Cut short it is a shard still.
    """
    system.check_removable(name)
    apply(system.without_shard(name), progress)
    system.remove_containers(name, progress)


class Apply:
    """One run. Whatever a killed one has left is a difference like any other."""

    def __init__(self, system: DeployedSystem, progress: Progress) -> None:
        self._system = system
        self._layout = system.layout
        self._progress = progress
        self._incus_steps = IncusSteps(system.layout, system.incus, progress)

    def run(self) -> Applied:
        """Raises ConfigError for what cannot be made, Unavailable when something does not come up, or still differs."""
        done = list[PlannedChange]()
        self._progress("incus", "is being observed")
        self._incus_steps.wait_for_others()
        for _round in range(_ROUNDS):
            observed, plan = self._system.compare()
            if plan.obstacles:
                raise ConfigError(problems=plan.obstacles, hint="correct deploy.toml; prodctl deploy plan checks it")
            if plan.is_empty:
                self._system.wait_ready()
                return Applied(tuple(done))
            if not plan.changes:
                break
            self._make_containers(plan.incus)
            if any(one.start for one in plan.incus.instances):  # what is inside was unknown before
                done += plan.incus.changes
                continue
            done += plan.changes
            self._carry_out(observed, plan)
        left = "; ".join(f"{c.where}: {c.action} {c.what} ({c.reason})" for c in (*plan.unknown, *plan.changes)[:3])
        raise Unavailable(f"not everything is as described: {left}", hint="prodctl deploy status")

    def _carry_out(self, observed: Observed, plan: Plan) -> None:
        if unknown := [one for one in plan.unknown if one.where in self._system.specs]:
            raise Unavailable(f"{unknown[0].where}: {unknown[0].reason}", hint="prodctl deploy status")
        run_parallel(self._install_packages, plan.hosts.values())
        groups = groups_of(list(plan.hosts.values()), lambda name: observed.inside(name).machine)
        run_parallel(lambda group: self._bring_release(observed, group), groups)
        run_parallel(self._prepare_host, plan.hosts.values())
        run_parallel(
            lambda name: self._set_steps(name).bring_up(plan.hosts, observed.replica_set(name)),
            self._layout.set_members,
        )
        if not plan.is_prepared or any(host.release for host in plan.hosts.values()):
            self._prepare()
        auth, web = self._layout.auth.name, self._layout.web.name
        for names in ([auth], [web], [host.name for host in self._layout.db_hosts]):
            run_parallel(self._run_services, [plan.hosts[name] for name in names])
        self._system.wait_ready()

    def _make_containers(self, plan: IncusPlan) -> None:
        self._incus_steps.make_surroundings(plan)
        run_parallel(self._incus_steps.make_instance, plan.instances)

    def _install_packages(self, plan: HostPlan) -> None:
        install_packages(self._container(plan.host), plan, self._progress)

    def _prepare_host(self, plan: HostPlan) -> None:
        prepare_host(self._container(plan.host), plan)

    def _bring_release(self, observed: Observed, plans: Sequence[HostPlan]) -> None:
        """Copy it from the first of containers that are alike to those without it; install it there if need be."""
        first, *others = plans
        table, release = self._layout.deployment.release, self._system.release
        container = self._container(first.host)
        digest = observed.inside(first.host).release_digest
        if first.release:
            digest = install_release(container, first, table.python, table.wheelhouse, self._progress)
        if lacking := [plan for plan in others if plan.release]:
            packed = read_release(container, release)
            run_parallel(
                lambda plan: copy_release(self._container(plan.host), plan, packed, digest, self._progress), lacking
            )

    def _container(self, name: str) -> Container:
        return Container(self._system.incus, name)

    def _set_steps(self, name: str) -> SetSteps:
        system = self._system
        return SetSteps(self._layout, system.incus, name, system.set_requests[name], system.release, self._progress)

    def _prepare(self) -> None:
        host = Container(self._system.incus, self._layout.users_host.name)
        request = self._system.set_requests[USERS_SET]
        host.prodctl("prepare", request, release=self._system.release, seconds=_PREPARE_SECONDS)
        self._progress("cluster", "has its shard map and indexes")

    def _run_services(self, plan: HostPlan) -> None:
        """Start what does not run, restart what is stale."""
        start = [unit for unit in plan.start if not unit.startswith(_MEMBER_UNIT)]
        restart = [unit for unit in plan.restart if not unit.startswith(_MEMBER_UNIT)]
        if not (start or restart):
            return
        stop = list[str]()
        if any(unit.endswith(".socket") for unit in restart):  # which moves only while no service holds it
            stop, start, restart = restart, [*restart, *start], []
        request = {"stop": stop, "start": start, "restart": restart}
        self._container(plan.host).ask("systemctl", request, seconds=_UNIT_SECONDS)
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
        if observed.unknown and not starting:
            observed = self._observe()
        if stale and _PRIMARY not in observed.roles.values():  # none can be spared, and none works
            for member in stale:
                self._systemctl(member, "restart")
            stale = []
        if observed.missing or observed.unknown or starting:
            self._inside("set-up")
            self._progress(self._name, "is set up, with all its members")
        if stale:
            self._roll(stale)

    def _roll(self, stale: list[DeployedMember]) -> None:
        """Restart members in turn, the primary last, each time waiting until all of them are healthy."""
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
            self._progress(self._name, f"is observed again: {error.message}")
        else:
            self._progress(self._name, f"has a new primary: {report['new_primary']}")

    def _primary(self) -> str:
        roles = self._observe().roles
        return next((endpoint for endpoint, role in roles.items() if role == _PRIMARY), "")

    def _observe(self) -> ObservedSet:
        return set_of(self._inside("observe")["set"])

    def _systemctl(self, member: DeployedMember, verb: str) -> None:
        Container(self._incus, member.host).ask("systemctl", {verb: [member.unit]}, seconds=_MEMBER_SECONDS)
        self._progress(member.name, f"is {verb}ed")

    def _explanation(self) -> str:
        """What the units of members say that do not run, or were restarted by themselves."""
        said = list[str]()
        for host in dict.fromkeys(m.host for m in self._members):
            request = {"units": [m.unit for m in self._members if m.host == host]}
            with suppress(Unavailable, IncusRefused):
                states = Container(self._incus, host).ask("explain", request, seconds=_MEMBER_SECONDS)
                said += [f"\n  {host}: {unit} is {state}" for unit, state in states.items()]
        return "".join(said)

    def _inside(self, task: str) -> Any:
        host = Container(self._incus, self._members[0].host)
        try:
            answer = host.prodctl(task, self._request, release=self._release, seconds=_TASK_SECONDS)
        except Unavailable as error:
            raise Unavailable(f"{error.message}{self._explanation()}", hint=error.hint) from None
        if answer is None:
            raise Unavailable(f"{host.name}: release {self._release} is incomplete", hint="run apply once more")
        return answer


def install_packages(container: Container, plan: HostPlan, progress: Progress) -> None:
    """What the release and the files need: packages, accounts, a pushed mongod."""
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


def prepare_host(container: Container, plan: HostPlan) -> None:
    """Directories, files, links; then systemd knows the units, and starts them with the container."""
    if plan.directories or plan.rewritten or plan.access_only or plan.removed or plan.set_aside or plan.links:
        container.ask("write", _writing(plan, files=plan.rewritten, links=plan.links), seconds=_WRITE_SECONDS)
    if plan.needs_reload or plan.enable:
        request = {"reload": plan.needs_reload, "enable": list(plan.enable)}
        container.ask("systemctl", request, seconds=_WRITE_SECONDS)


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
        "set_aside": dict(plan.set_aside) if plan else {},
        "links": [{"path": link.path, "target": link.target} for link in links],
    }


def groups_of(plans: Sequence[HostPlan], machine: Callable[[str], str]) -> list[list[HostPlan]]:
    """The containers of each kind of which any needs the release; first those that have it already."""
    kinds = sorted({machine(plan.host) for plan in plans if plan.release})
    return [sorted((p for p in plans if machine(p.host) == kind), key=lambda p: bool(p.release)) for kind in kinds]


def install_release(container: Container, plan: HostPlan, python: str, wheelhouse: Path, progress: Progress) -> str:
    """From the wheelhouse, with every hash checked; nothing is fetched from anywhere. The checksum of all of it."""
    progress(plan.host, f"installs release {plan.release}")
    request = {
        "path": f"{RELEASES_DIR}/{plan.release}",
        "wheelhouse": f"{WHEELHOUSES_DIR}/{plan.release}",
        "python": python,
        "forget": list(plan.forget),
    }
    return str(container.ask("release", request, content=_pack(wheelhouse), seconds=_INSTALL_SECONDS))


def read_release(container: Container, release: str) -> bytes:
    """An installed release as a tar file."""
    return container.output(
        [
            "tar",
            "--create",
            "--format=posix",
            "--file=-",
            f"--directory={RELEASES_DIR}",
            "--exclude",
            f"{release}/{RELEASE_MANIFEST}",
            release,
        ],
        seconds=_INSTALL_SECONDS,
    )


def copy_release(container: Container, plan: HostPlan, packed: bytes, digest: str, progress: Progress) -> None:
    """To a container that is like the one that it was installed in: a virtual environment holds its own path."""
    progress(plan.host, f"gets a copy of release {plan.release}")
    request = {"path": f"{RELEASES_DIR}/{plan.release}", "digest": digest, "forget": list(plan.forget)}
    container.ask("unpack", request, content=packed, seconds=_INSTALL_SECONDS)


def _pack(directory: Path) -> bytes:
    """Every file of a wheelhouse in one tar."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(directory.iterdir()):
            if path.is_file():
                archive.add(path, path.name)
    return packed.getvalue()
