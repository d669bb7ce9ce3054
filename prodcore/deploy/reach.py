"""Looking into the containers from the operator's machine: for the doctor, and for the inner hops of the way in."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from prodcore.deploy.layout import Host, Layout
from prodcore.errors import ProdError, Unavailable
from prodcore.expose import judge
from prodcore.expose.public import LOCAL_FIXES, Met, same_instance
from prodcore.expose.walk import Seen, Step
from prodcore.incus.client import Incus
from prodcore.support.http import Answer

_SECONDS = 30.0
_APPLY = "prodctl deploy apply"


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen inside one container."""

    urls: Mapping[str, Answer]
    units: Mapping[str, str]
    """Active, inactive, failed … by unit: those asked for, and all that have failed."""
    tables: tuple[str, str]
    """``/proc/net/tcp`` and ``tcp6``."""
    free_bytes: int
    clock_offset: float
    """By how many seconds its clock is ahead of this machine's."""


def look_inside(incus: Incus, host: str, *, urls: tuple[str, ...] = (), units: tuple[str, ...] = ()) -> Sight:
    """Look into a container. Raises Unavailable, IncusUnavailable and IncusRefused when that cannot be done."""
    script = resources.files("prodcore.deploy").joinpath("sight.py").read_bytes()
    request = json.dumps({"urls": urls, "units": units})
    asked = time.time()
    done = incus.execute(host, ["python3", "-", request], input=script, timeout_seconds=_SECONDS)
    answered = time.time()
    try:
        told: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise Unavailable(f"the python3 of {host} ends with status {done.status}", hint=_APPLY) from None
    # Python starts before it reads its clock, so the moment is nearer to the answer than to the question.
    return Sight(
        urls={url: Answer(status, (), body.encode()) for url, (status, body) in told["urls"].items()},
        units=told["units"],
        tables=(told["tcp"][0], told["tcp"][1]),
        free_bytes=told["free"],
        clock_offset=0.0 if asked <= told["now"] <= answered else told["now"] - (asked + answered) / 2,
    )


def inner_steps(layout: Layout, incus: Incus, met: Met) -> Iterator[Step]:
    """webapp in its container, and the proxy device of the Incus host."""
    web = layout.deployment.web
    yield Step("webapp", f"{layout.web.name} {web.address}:{web.port}", lambda: _webapp(layout, incus, met))
    skip = "" if web.proxy else "deploy.toml wants none"
    yield Step("proxy device", web.proxy, lambda: _proxy(layout, incus, met), skip)


def _webapp(layout: Layout, incus: Incus, met: Met) -> Seen:
    base = f"http://{layout.web.address}:{layout.deployment.web.port}"
    alive, ready = f"{base}/healthz", f"{base}/readyz"
    try:
        sight = look_inside(incus, layout.web.name, urls=(alive, ready))
    except ProdError as error:
        return Seen(False, error.message, error.hint or _APPLY)
    if not sight.urls[alive].status:
        return Seen(False, f"nothing answers at {base} in {layout.web.name}", _APPLY)
    seen = judge.judge_instance(sight.urls[alive], "", _APPLY)
    met.instance = judge.instance_of(sight.urls[alive])
    if not seen.well or sight.urls[ready].fact("status") == "ready":
        return seen
    state = sight.urls[ready].fact("status") or sight.urls[ready].status
    return Seen(False, f"webapp answers and is not ready: {state}", "prodctl cluster status")


def _proxy(layout: Layout, incus: Incus, met: Met) -> Seen:
    wanted = f"tcp:{layout.deployment.web.proxy}"
    try:
        instance = incus.query("GET", f"/1.0/instances/{layout.web.name}")
        host = _incus_host(incus, layout.deployment.incus.remote)
    except ProdError as error:
        return Seen(False, error.message, error.hint or _APPLY)
    devices = instance["expanded_devices"].values()
    if not any(d["type"] == "proxy" and d.get("listen") == wanted for d in devices):
        return Seen(False, f"{layout.web.name} has no proxy device that listens on {wanted}", _APPLY)
    if not host:
        return Seen(True, "it is there; its port is seen from this machine only through the next hop")
    address, _, port = layout.deployment.web.proxy.rpartition(":")
    url = f"http://{host if address in ('0.0.0.0', '127.0.0.1') else address}:{port}"  # noqa: S104  it is compared
    fix = "incus info --show-log; does another program hold the port?"
    return same_instance(url, met, LOCAL_FIXES | {"refused": fix}, "another program has this port of the Incus host")


def _incus_host(incus: Incus, remote: str) -> str:
    """Where the ports of the Incus host are met from here; empty behind a NAT, where only some are passed on."""
    name = remote or incus.run("remote", "get-default", timeout_seconds=_SECONDS).decode().strip()
    listed = json.loads(incus.run("remote", "list", "--format", "json", timeout_seconds=_SECONDS))
    parts = urlsplit(str(listed[name]["Addr"]))
    if parts.scheme == "unix":
        return "127.0.0.1"
    host = parts.hostname or ""
    return "" if host in ("127.0.0.1", "localhost", "::1") else host


def expected_units(layout: Layout, host: Host) -> tuple[str, ...]:
    """The units that must be active in a container."""
    service = {"web": "prodctl-webapp", "auth": "prodctl-authsvc"}.get(host.role)
    if service:
        return (f"{service}.socket", f"{service}.service")
    programs = ["prodctl-guard.service"]
    if host == layout.users_host:
        programs += ["prodctl-drills.service", "prodctl-drill.timer"]
    return (*(member.unit for member in host.members), *programs)


def ready_urls(layout: Layout, host: Host) -> tuple[str, ...]:
    """Where a container's service says whether it is ready; a container of members has none."""
    ports = {"web": layout.deployment.web.port, "auth": layout.deployment.auth.port}
    return (f"http://{host.address}:{ports[host.role]}/readyz",) if host.role in ports else ()


def expected_listeners(layout: Layout, host: Host) -> set[tuple[str, int]]:
    """The addresses and ports that a container may listen on."""
    if host.role == "web":
        return {(host.address, layout.deployment.web.port)}
    if host.role == "auth":
        return {(host.address, layout.deployment.auth.port)}
    return {(address, member.port) for member in host.members for address in ("127.0.0.1", host.address)}
