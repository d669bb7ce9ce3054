"""The composition root of ``prodctl expose``: the hops from the container to the public address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prodcore.deploy.config import load_deployment
from prodcore.deploy.layout import Layout
from prodcore.deploy.observe import examine
from prodcore.errors import ProdError
from prodcore.expose.walk import (
    LOCAL_FIXES,
    Hop,
    HopResult,
    HopStep,
    KnownInstance,
    instance_of,
    judge_instance,
    local_step,
    public_steps,
    same_instance,
    walk,
)
from prodcore.incus import Incus
from prodcore.settings import Settings

_APPLY = "prodctl deploy apply"


def walk_in(settings: Settings, public: str) -> list[Hop]:
    """Every hop from the container to the address ``public`` (empty: there is none), up to the first broken one."""
    known = KnownInstance()
    here = local_step(settings.url, known, settings.ca_file)
    return walk([*_inner_steps(settings, known), here, *public_steps(public, known)])


def _inner_steps(settings: Settings, known: KnownInstance) -> Iterator[HopStep]:
    if settings.deployment is None:
        for name in ("webapp", "proxy device"):
            skip = "no containers: PRODCTL_DEPLOYMENT names no deploy.toml"
            yield HopStep(name, "", lambda: HopResult(True, ""), skip)
        return
    deployment = load_deployment(settings.deployment)
    incus = Incus(deployment.incus.remote, deployment.incus.project)
    yield from _container_steps(Layout(deployment), incus, known, settings.ca_file)


def _container_steps(
    layout: Layout, incus: Incus, known: KnownInstance, ca_file: Path | None = None
) -> Iterator[HopStep]:
    """webapp in its container, and the proxy device of the Incus host."""
    web = layout.deployment.web
    yield HopStep("webapp", f"{layout.web.name} {web.address}:{web.port}", lambda: _webapp(layout, incus, known))
    skip = "" if web.proxy else "deploy.toml has none"
    yield HopStep("proxy device", web.proxy, lambda: _proxy(layout, incus, known, ca_file), skip)


def _webapp(layout: Layout, incus: Incus, known: KnownInstance) -> HopResult:
    base = layout.url(layout.web)
    alive, ready = f"{base}/healthz", f"{base}/readyz"
    try:
        found = examine(incus, layout.web.name, urls=(alive, ready))
    except ProdError as error:
        return HopResult(False, error.message, error.hint or _APPLY)
    if not found.urls[alive].status:
        return HopResult(False, f"nothing answers at {base} in {layout.web.name}", _APPLY)
    result = judge_instance(found.urls[alive], "", _APPLY)
    known.instance = instance_of(found.urls[alive])
    if not result.is_ok or found.urls[ready].fact("status") == "ready":
        return result
    state = found.urls[ready].fact("status") or found.urls[ready].status
    return HopResult(False, f"webapp answers, but is not ready: {state}", "prodctl cluster status")


def _proxy(layout: Layout, incus: Incus, known: KnownInstance, ca_file: Path | None) -> HopResult:
    wanted = f"tcp:{layout.deployment.web.proxy}"
    try:
        instance = incus.query("GET", f"/1.0/instances/{layout.web.name}")
        host = incus.host_address
    except ProdError as error:
        return HopResult(False, error.message, error.hint or _APPLY)
    devices = instance["expanded_devices"].values()
    if not any(d["type"] == "proxy" and d.get("listen") == wanted for d in devices):
        return HopResult(False, f"{layout.web.name} has no proxy device that listens on {wanted}", _APPLY)
    if not host:
        return HopResult(True, "it is there; from this machine its port can be checked only through the next hop")
    address, _, port = layout.deployment.web.proxy.rpartition(":")
    scheme = layout.url(layout.web).partition(":")[0]
    url = f"{scheme}://{host if address in ('0.0.0.0', '127.0.0.1') else address}:{port}"  # noqa: S104  it is compared
    fixes = LOCAL_FIXES | {
        "refused": "incus info --show-log; does another program hold the port?",
        "certificate": "set [web] proxy to this address: the certificate then covers it",
    }
    return same_instance(url, known, fixes, "another program has this port of the Incus host", ca_file=ca_file)
