"""The composition root of ``prodctl doctor``: its facts, gathered when they are first asked for, and its checks.

A new check is a function below with ``@check`` on it. Where its judgement is worth testing without a system, that is a
pure function of ``prodcore.doctor``. Nothing is changed by looking.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from prodcore.app.cluster import lint_cluster
from prodcore.app.wiring import member_control, open_inspectors
from prodcore.deadline import run_parallel
from prodcore.deploy.config import load_deployment
from prodcore.deploy.layout import Host, Layout
from prodcore.deploy.observe import Examination
from prodcore.deploy.observe import examine as examine_container
from prodcore.deploy.spec import shows_clients
from prodcore.doctor import check, machine, run_checks, system
from prodcore.errors import AuthError, ConfigError, ProdError, Unavailable
from prodcore.incus import Incus
from prodcore.installation.mongod import find_mongod
from prodcore.local.state import load_state
from prodcore.replicaset.cluster import HttpServiceProbe
from prodcore.replicaset.diagnostic import Diagnostic, Severity
from prodcore.replicaset.status import SetStatus
from prodcore.settings import SETTINGS, Settings, config_file, default_state_dir, env_file, is_secret, load_settings
from prodcore.support.http import certificate_end, get

Ask = Callable[[Settings, str], Any]
"""``GET`` of a path of the REST API, with the caller's rights."""
Found = Iterable[Diagnostic]

_START = "prodctl local up; in a deployment: prodctl deploy status"


def examine(ask: Ask) -> list[tuple[str, Diagnostic]]:
    """The findings of every check with their groups, in the order of the groups."""
    facts = DoctorFacts(ask)
    return list(run_checks(facts, has_system=facts.has_system))


class DoctorFacts:
    """What the checks examine. Each fact raises what keeps it from being known."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    @cached_property
    def settings(self) -> Settings:
        """Raises ConfigError when they cannot work; the group "settings" reports it."""
        return load_settings()

    @property
    def settings_error(self) -> ConfigError | None:
        """Why there are no settings."""
        try:
            _ = self.settings
        except ConfigError as error:
            return error
        return None

    @property
    def has_system(self) -> bool:
        """Whether there is any cluster to examine."""
        if self.settings_error:
            return False
        given = self.settings
        return any((given.db1_url, given.db2_url, given.db3_url, given.deployment))

    @cached_property
    def layout(self) -> Layout | None:
        """The deployment's; None without one. Raises ConfigError."""
        return Layout(load_deployment(self.settings.deployment)) if self.settings.deployment else None

    @cached_property
    def containers(self) -> dict[Host, Examination | ProdError]:
        """What each container of the deployment says, or why it says nothing; empty without a deployment."""
        layout = self.layout
        if layout is None:
            return {}
        table = layout.deployment.incus
        incus = Incus(table.remote, table.project)
        found: dict[Host, Examination | ProdError] = {}

        def examine_host(host: Host) -> None:
            try:
                found[host] = examine_container(
                    incus, host.name, urls=layout.ready_urls(host), units=layout.units(host)
                )
            except ProdError as error:
                found[host] = error

        run_parallel(examine_host, layout.hosts)
        return {host: found[host] for host in layout.hosts}

    @property
    def examined(self) -> dict[str, Examination]:
        """The containers that could be examined, by name."""
        try:
            return {h.name: e for h, e in self.containers.items() if not isinstance(e, ProdError)}
        except ProdError:  # their own group says why
            return {}

    @cached_property
    def sets(self) -> list[SetStatus]:
        """Every replica set; members that do not answer are in it as such."""
        return [inspector.inspect() for inspector in open_inspectors(self.settings)]

    @property
    def reachable_sets(self) -> list[SetStatus]:
        """The sets of which any member answers; empty where their addresses are not known."""
        try:
            return [s for s in self.sets if any(m.answers for m in s.members)]
        except ConfigError:
            return []

    def api(self, path: str) -> Any:
        """``GET`` of the REST API."""
        return self._ask(self.settings, path)


@check("versions", needs_system=False)
def _mongod(facts: DoctorFacts) -> Found:
    """The mongod that ``prodctl local`` would run."""
    if facts.settings_error:
        return
    try:
        mongod = find_mongod(facts.settings.mongod)
    except ConfigError as error:
        text = f"none that runs here, which only prodctl local needs: {error.message}"
        yield Diagnostic("no_mongod", "mongod", Severity.SKIPPED, text, error.hint)
    else:
        yield machine.judge_mongod(mongod.version, f"from {mongod.origin}")


@check("versions", needs_system=False)
def _packages(_facts: DoctorFacts) -> Found:
    """Python, and every package against its floor."""
    own = importlib.metadata.version("prodctl")
    yield Diagnostic("prodctl", "prodctl", Severity.OK, f"{own} on Python {platform.python_version()}")
    yield from machine.judge_packages(importlib.metadata.requires("prodctl") or [], _installed)


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


@check("files", needs_system=False)
def _private_files(_facts: DoctorFacts) -> Found:
    """Everything that holds a secret of this user; works where the settings cannot be read."""
    secret = [name for name in SETTINGS if is_secret(name)]
    paths = machine.private_paths(default_state_dir(), env_file(), config_file(), secret)
    return machine.judge_private(machine.file_facts(paths), {os.getuid(), 0})


@check("settings", needs_system=False)
def _settings(facts: DoctorFacts) -> Found:
    if error := facts.settings_error:
        fix = error.hint or "prodctl config show"
        yield Diagnostic("invalid_settings", "settings", Severity.PROBLEM, error.message, fix)


@check("listening", needs_system=False)
def _listening(facts: DoctorFacts) -> Found:
    """The ports of the local cluster."""
    if facts.settings_error:
        return
    if load_state(facts.settings.state_dir / "local") is None:
        text = "there is no local cluster on this machine"
        yield Diagnostic("loopback", "loopback", Severity.SKIPPED, text)
        return
    from prodcore.local import open_cluster

    ports = open_cluster(facts.settings).plan.ports.by_program()
    yield from machine.judge_listeners(machine.listeners(), {port: name for name, port in ports.items()})


@check("containers")
def _containers(facts: DoctorFacts) -> Found:
    """Who listens where, which units run, and whether the services are ready."""
    layout = facts.layout
    for host, found in facts.containers.items():
        if isinstance(found, ProdError):
            fix = found.hint or "prodctl deploy apply"
            yield Diagnostic("not_examined", host.name, Severity.PROBLEM, found.message, fix)
        elif layout:
            yield from _container(layout, host, found)


def _container(layout: Layout, host: Host, found: Examination) -> Iterator[Diagnostic]:
    listening = [listener for table in found.tables for listener in machine.parse_table(table)]
    expected = layout.units(host)
    yield from system.judge_container(host.name, listening, layout.listeners(host), found.units, expected)
    for answer in found.urls.values():
        state = answer.fact("status")
        is_active = all(found.units.get(unit) == "active" for unit in expected)
        if state != "ready" and (answer.status or is_active):  # that a unit is not active is reported already
            text = f"its service is not ready: {state or 'no answer'}"
            fix = "prodctl deploy status, prodctl cluster status"
            yield Diagnostic("service_not_ready", host.name, Severity.PROBLEM, text, fix)


@check("containers")
def _one_machine(facts: DoctorFacts) -> Found:
    """Containers that share a machine die together, whatever the layout of the sets."""
    if facts.layout is None:
        return
    targets = {host.target for host in facts.layout.db_hosts}
    if len(targets) < 2 or "" in targets:
        text = "all containers are on one Incus host: nothing can be reached while that machine is down"
        yield Diagnostic("one_machine", "machine", Severity.NOTE, text, "an Incus cluster, and targets in deploy.toml")


@check("containers")
def _client_addresses(facts: DoctorFacts) -> Found:
    """Behind a proxy on all addresses every client has the same one, for the log, the audit and the limits."""
    proxy = facts.layout.deployment.web.proxy if facts.layout else ""
    if proxy and not shows_clients(proxy):
        text = f"behind the proxy at {proxy} all clients appear under one address in logs, audit and login limits"
        fix = "[web] proxy with an address of the Incus host, such as 192.168.1.5:3000"
        yield Diagnostic("one_client_address", "proxy", Severity.NOTE, text, fix)


@check("services")
def _services(facts: DoctorFacts) -> Found:
    settings = facts.settings
    if settings.deployment:
        return  # asked inside their containers
    for name, url in (("webapp", settings.url), ("authsvc", settings.auth_server_url)):
        probe = HttpServiceProbe(name, url, timeout_seconds=5, ca_file=settings.ca_file).probe()
        if probe.state == "ready":
            yield Diagnostic("service", name, Severity.OK, f"ready at {url}")
        else:
            text = f"{probe.state} at {url}: {probe.detail}"
            yield Diagnostic("service_not_ready", name, Severity.PROBLEM, text, _START)


@check("services")
def _certificates(facts: DoctorFacts) -> Found:
    """How long the certificates are good for yet; one that is not valid is a service that is down."""
    settings = facts.settings
    for name, url in (("webapp", settings.url), ("authsvc", settings.auth_server_url)):
        if url.startswith("https://") and (ends := certificate_end(url, settings.ca_file)):
            yield system.judge_certificate(name, ends, datetime.now(UTC))


@check("members", needs_system=False)
def _no_system(facts: DoctorFacts) -> Found:
    if not facts.has_system and not facts.settings_error:
        text = "there is no local cluster, and no address is set: the other checks need a system"
        yield Diagnostic("no_system", "system", Severity.SKIPPED, text, "prodctl local up")


@check("members")
def _members(facts: DoctorFacts) -> Found:
    """The findings of ``cluster lint``."""
    deployment = facts.settings.deployment
    try:
        statuses = facts.sets
    except ConfigError as error:
        fix = "export PRODCTL_ENV_FILE=…: prodctl deploy apply prints it" if deployment else error.hint
        yield Diagnostic("no_addresses", "sets", Severity.PROBLEM, error.message, fix)
        return
    reachable = facts.reachable_sets
    if deployment and not reachable:
        text = "no member responds to this machine, which may have no route to them; their units are under Containers"
        yield Diagnostic(
            "unreachable", "sets", Severity.SKIPPED, text, "run it on a machine that can reach the members"
        )
        return
    for status in statuses:
        if status not in reachable:
            yield Diagnostic("no_member", status.name, Severity.PROBLEM, "no member is responding", _START)
    if reachable:
        yield from system.from_findings(lint_cluster(facts.settings, member_control(facts.settings)))


@check("layout")
def _layout(facts: DoctorFacts) -> Found:
    return system.judge_layout((s.name, s.config) for s in facts.reachable_sets)


@check("clocks")
def _clocks(facts: DoctorFacts) -> Found:
    """Every clock that can be asked."""
    offsets = {name: found.clock_offset for name, found in facts.examined.items()}
    offsets |= _member_offsets(facts)
    settings = facts.settings
    for name, url in (("webapp", settings.url), ("authsvc", settings.auth_server_url)):
        asked = datetime.now(UTC)
        try:
            header = get(url, "/healthz", seconds=2).header("Date")
        except Unavailable:
            continue  # the services' own group says so
        offset = machine.date_offset(header, asked, datetime.now(UTC))
        if offset is not None:
            offsets[name] = offset
    return machine.judge_offsets(offsets)


def _member_offsets(facts: DoctorFacts) -> dict[str, float]:
    """By how many seconds each member's clock is ahead of ours."""
    from prodcore.mongo.client.records import member_clocks

    offsets: dict[str, float] = {}
    answering = {s.name: [m.address for m in s.members if m.answers] for s in facts.reachable_sets}
    for inspector in open_inspectors(facts.settings) if answering else ():
        if members := answering.get(inspector.name):
            offsets |= member_clocks(inspector.address, members)
    return offsets


@check("disk", needs_system=False)
def _disk(facts: DoctorFacts) -> Found:
    """This machine's, and where there is a system every member's and container's."""
    if facts.settings_error:
        return ()
    state_dir = facts.settings.state_dir
    free = {str(state_dir): shutil.disk_usage(_existing(state_dir)).free}
    if facts.has_system:
        free |= {name: found.free_bytes for name, found in facts.examined.items()}
        members = (m for s in facts.reachable_sets for m in s.members)
        free |= {m.address: m.free_disk_bytes for m in members if m.free_disk_bytes is not None}
    return machine.judge_free(free)


def _existing(path: Path) -> Path:
    """The directory, or the nearest one above it that is there."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())


@check("keys and tokens")
def _expiry(facts: DoctorFacts) -> Iterator[Diagnostic]:
    now = datetime.now(UTC)
    sealed = facts.settings.state_dir / "local" / "setup-code-sealed"
    try:
        open_ = get(facts.settings.url, "/api/v1/setup").fact("open")
    except Unavailable as error:
        fix = "PRODCTL_URL says where webapp is"
        yield Diagnostic("not_examined", "all of them", Severity.SKIPPED, error.message, fix)
        return
    if open_ is not None:
        yield system.judge_setup_code(bool(open_), sealed.read_text() if sealed.exists() else None, now)
    if open_:
        return  # there can be no token yet
    try:
        yield from system.judge_tokens(facts.api("/tokens")["items"], now)
        yield from system.judge_keys(facts.api("/keys")["items"], now)
    except AuthError as error:
        text = f"only an admin sees them: {error.message}"
        yield Diagnostic("not_examined", "service tokens, signing keys", Severity.SKIPPED, text, "prodctl login")
