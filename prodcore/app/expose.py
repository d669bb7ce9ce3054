"""The composition root of ``prodctl expose``: the hops from the container to the public address."""

from __future__ import annotations

from collections.abc import Iterator

from prodcore.expose.public import Met, local_step, public_steps
from prodcore.expose.walk import Hop, Seen, Step, walk
from prodcore.settings import Settings


def walk_in(settings: Settings, public: str) -> list[Hop]:
    """Every hop from the container to the address ``public`` (empty: there is none), up to the first broken one."""
    met = Met()
    return walk([*_inner_steps(settings, met), local_step(settings.url, met), *public_steps(public, met)])


def _inner_steps(settings: Settings, met: Met) -> Iterator[Step]:
    if settings.deployment is None:
        for name in ("webapp", "proxy device"):
            yield Step(name, "", lambda: Seen(True, ""), "no containers: PRODCTL_DEPLOYMENT names no deploy.toml")
        return
    from prodcore.deploy.config import load_deployment
    from prodcore.deploy.layout import Layout
    from prodcore.deploy.reach import inner_steps
    from prodcore.incus.client import Incus

    deployment = load_deployment(settings.deployment)
    incus = Incus(deployment.incus.remote, deployment.incus.project)
    yield from inner_steps(Layout(deployment), incus, met)
