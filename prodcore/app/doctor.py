"""The composition root of ``prodctl doctor``: looks at everything, and lets no failure to look end the page."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prodcore.app.cluster import lint_cluster, member_control, open_inspectors
from prodcore.app.machine import look_at_files, look_at_listening, look_at_mongod, look_at_versions
from prodcore.deploy.checkup import Checkup, check_up
from prodcore.deploy.config import load_deployment
from prodcore.deploy.layout import Layout
from prodcore.doctor import clock, cluster, container, disk, expiry, layout, listening
from prodcore.doctor.check import Check, State
from prodcore.errors import AuthError, ConfigError, ProdError, Unavailable
from prodcore.incus.client import Incus
from prodcore.replicaset.services import HttpServiceProbe
from prodcore.replicaset.status import SetStatus
from prodcore.settings import Settings, load_settings
from prodcore.support.http import get

Ask = Callable[[Settings, str], Any]
"""``GET`` of a path of the REST API, with the rights of whoever asks."""

SERVICES = "services"
_START = "prodctl local up; in a deployment: prodctl deploy status"


def examine(ask: Ask) -> list[Check]:
    """Every check, group by group. Nothing is changed."""
    checks = [*look_at_versions(), *look_at_files()]
    try:
        settings = load_settings()
    except ConfigError as error:
        fix = error.hint or "prodctl config show"
        return [*checks, Check("settings", "settings", State.PROBLEM, error.message, fix)]
    checks.insert(0, look_at_mongod(settings))
    checks += _guarded(listening.GROUP, lambda: look_at_listening(settings))
    if not _is_anything_set_up(settings):
        text = "no local cluster and no address of one: what follows needs a system to look at"
        return [*checks, Check("members", "system", State.SKIPPED, text, "prodctl local up"), *_disk(settings, [], {})]
    statuses: list[SetStatus] = []
    figures = Checkup()
    checks += _guarded(container.GROUP, lambda: _containers(settings, figures))
    checks += _guarded(SERVICES, lambda: _services(settings))
    checks += _guarded(cluster.GROUP, lambda: _members(settings, statuses))
    checks += _guarded(layout.GROUP, lambda: layout.judge_layout((s.name, s.config) for s in statuses))
    offsets = figures.clock_offsets
    checks += _guarded(clock.GROUP, lambda: clock.judge_offsets(offsets | _offsets(settings, statuses)))
    checks += _disk(settings, statuses, figures.free_bytes)
    return [*checks, *_guarded(expiry.GROUP, lambda: _expiry(settings, ask))]


def _guarded(group: str, look: Callable[[], Iterable[Check]]) -> list[Check]:
    """The checks of one group; what keeps us from looking is one of them."""
    try:
        return list(look())
    except ProdError as error:
        state = State.PROBLEM if isinstance(error, Unavailable | ConfigError) else State.SKIPPED
        return [Check(group, group, state, error.message, error.hint)]


def _is_anything_set_up(settings: Settings) -> bool:
    return any((settings.db1_url, settings.db2_url, settings.db3_url, settings.deployment))


def _containers(settings: Settings, figures: Checkup) -> list[Check]:
    """What is found inside the containers; ``figures`` gets what other groups judge."""
    if settings.deployment is None:
        return []
    deployment = load_deployment(settings.deployment)
    found = check_up(Layout(deployment), Incus(deployment.incus.remote, deployment.incus.project))
    figures.clock_offsets.update(found.clock_offsets)
    figures.free_bytes.update(found.free_bytes)
    return found.checks


def _services(settings: Settings) -> Iterator[Check]:
    if settings.deployment:
        return  # asked inside their containers
    for name, url in (("webapp", settings.url), ("authsvc", settings.auth_server_url)):
        seen = HttpServiceProbe(name, url, timeout_seconds=5).probe()
        if seen.state == "ready":
            yield Check(SERVICES, name, State.OK, f"ready at {url}")
        else:
            yield Check(SERVICES, name, State.PROBLEM, f"{seen.state} at {url}: {seen.detail}", _START)


def _members(settings: Settings, statuses: list[SetStatus]) -> Iterator[Check]:
    """The findings of ``cluster lint``; ``statuses`` gets what was seen, for the groups that follow."""
    try:
        statuses += [inspector.inspect() for inspector in open_inspectors(settings)]
    except ConfigError as error:
        fix = "export PRODCTL_ENV_FILE=…: prodctl deploy apply says which" if settings.deployment else error.hint
        yield Check(cluster.GROUP, "sets", State.PROBLEM, error.message, fix)
        return
    silent = [s.name for s in statuses if not any(m.answers for m in s.members)]
    if settings.deployment and len(silent) == len(statuses):
        text = "no member answers this machine, which may have no way to them; their units stand under Containers"
        yield Check(cluster.GROUP, "sets", State.SKIPPED, text, "run it where the members are within reach")
        return
    for name in silent:
        yield Check(cluster.GROUP, name, State.PROBLEM, "no member answers", _START)
    if len(silent) < len(statuses):
        yield from cluster.from_findings(lint_cluster(settings, member_control(settings)))


def _offsets(settings: Settings, statuses: Sequence[SetStatus]) -> dict[str, float]:
    """By how many seconds each clock that can be asked is ahead of ours."""
    from prodcore.mongo.client.records import member_clocks

    offsets: dict[str, float] = {}
    for inspector, status in zip(open_inspectors(settings) if statuses else (), statuses, strict=True):
        offsets |= member_clocks(inspector.address, [m.address for m in status.members if m.answers])
    for name, url in (("webapp", settings.url), ("authsvc", settings.auth_server_url)):
        asked = datetime.now(UTC)
        try:
            header = get(url, "/healthz", seconds=2).header("Date")
        except Unavailable:
            continue  # the services' own group says so
        offset = clock.date_offset(header, asked, datetime.now(UTC))
        if offset is not None:
            offsets[name] = offset
    return offsets


def _disk(settings: Settings, statuses: Iterable[SetStatus], containers: Mapping[str, int]) -> list[Check]:
    free = dict(containers) | {str(settings.state_dir): shutil.disk_usage(_existing(settings.state_dir)).free}
    members = (m for s in statuses for m in s.members)
    free |= {m.address: m.free_disk_bytes for m in members if m.free_disk_bytes is not None}
    return list(disk.judge_free(free))


def _existing(path: Path) -> Path:
    """The directory, or the nearest one above it that is there."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())


def _expiry(settings: Settings, ask: Ask) -> Iterator[Check]:
    now = datetime.now(UTC)
    sealed = settings.state_dir / "local" / "setup-code-sealed"
    try:
        open_ = get(settings.url, "/api/v1/setup").fact("open")
    except Unavailable as error:
        yield Check(expiry.GROUP, "all of them", State.SKIPPED, error.message, "PRODCTL_URL says where webapp is")
        return
    if open_ is not None:
        yield expiry.judge_setup_code(bool(open_), sealed.read_text() if sealed.exists() else None, now)
    if open_:
        return  # nobody can have made a token yet
    try:
        yield from expiry.judge_tokens(ask(settings, "/tokens")["items"], now)
        yield from expiry.judge_keys(ask(settings, "/keys")["items"], now)
    except AuthError as error:
        text = f"only an admin sees them: {error.message}"
        yield Check(expiry.GROUP, "service tokens, signing keys", State.SKIPPED, text, "prodctl login")
